using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>Tells a shortage of the guard itself from what QEMU or a client has done.</summary>
internal static class Shortage
{
    /// <summary>Whether the system had no descriptor or no memory left for a call; it may have both a moment later.</summary>
    public static bool Is(Exception e) =>
        e is OutOfMemoryException || ErrnoOf(e) is Errno.EMFILE or Errno.ENFILE or Errno.ENOBUFS or Errno.ENOMEM;

    private static int ErrnoOf(Exception e) => e switch
    {
        ChannelException { Errno: not 0 } channel => channel.Errno,
        LinuxException linux => linux.Errno,
        _ => e.InnerException is { } inner ? ErrnoOf(inner) : 0,
    };
}
