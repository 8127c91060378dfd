using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>
/// Waiting for one or two descriptors by poll.
/// <see cref="Marshal.GetLastPInvokeError"/> has the reason of a failure, in the statement after the call.
/// </summary>
internal static unsafe partial class PollCalls
{
    public const short PollIn = 1;
    public const short PollOut = 4;
    public const short PollError = 8;
    public const short PollHangUp = 0x10;

    /// <summary>The peer has shut down its sending direction (POLLRDHUP).</summary>
    public const short PollPeerEnded = 0x2000;

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollFd* descriptors, nuint count, int timeoutMilliseconds);

    /// <summary>
    /// Waits until <paramref name="socket"/> can take bytes, or the peer of <paramref name="companion"/> has ended its direction. Returns
    /// false in the second case.
    /// </summary>
    public static bool WaitToSend(SafeSocketHandle socket, SafeSocketHandle companion)
    {
        bool held = false, companionHeld = false;
        try
        {
            socket.DangerousAddRef(ref held);
            companion.DangerousAddRef(ref companionHeld);
            var descriptors = stackalloc PollFd[2];
            descriptors[0] = new PollFd((int)socket.DangerousGetHandle(), PollOut);
            descriptors[1] = new PollFd((int)companion.DangerousGetHandle(), PollPeerEnded);
            return Poll(descriptors, 2, Timeout.Infinite) <= 0 || descriptors[1].Returned == 0;
        }
        finally
        {
            if (companionHeld)
            {
                companion.DangerousRelease();
            }

            if (held)
            {
                socket.DangerousRelease();
            }
        }
    }

    /// <summary>
    /// Waits until <paramref name="socket"/> shows one of <paramref name="events"/>, an error or a hang-up, or until
    /// <paramref name="wake"/>, if given, is signalled. Returns false when <paramref name="timeoutMilliseconds"/> have passed (-1: no
    /// limit). An interrupted wait counts as an event, because the caller then tries again in any case.
    /// </summary>
    public static bool WaitFor(SafeSocketHandle socket, short events, EventFd? wake, int timeoutMilliseconds)
    {
        var held = false;
        try
        {
            socket.DangerousAddRef(ref held);
            var descriptors = stackalloc PollFd[2];
            descriptors[0] = new PollFd((int)socket.DangerousGetHandle(), events);
            descriptors[1] = new PollFd(wake?.Descriptor ?? -1, PollIn); // the kernel ignores negative descriptors
            return Poll(descriptors, 2, timeoutMilliseconds) != 0;
        }
        finally
        {
            if (held)
            {
                socket.DangerousRelease();
            }
        }
    }

    /// <summary>
    /// Whether both directions of a socket are over. The peer of a Unix socket that has only shut down its own direction has not hung up.
    /// </summary>
    public static bool HasHungUp(SafeSocketHandle socket) => Shows(socket, PollHangUp);

    /// <summary>
    /// Whether the peer of a socket has ended its direction, or the connection is lost. Bytes that came before may still be unread.
    /// </summary>
    public static bool HasPeerEnded(SafeSocketHandle socket) => Shows(socket, PollPeerEnded | PollHangUp | PollError);

    /// <summary>Whether a socket shows one of <paramref name="events"/> at this moment.</summary>
    private static bool Shows(SafeSocketHandle socket, int events)
    {
        var held = false;
        try
        {
            socket.DangerousAddRef(ref held);
            var descriptor = new PollFd((int)socket.DangerousGetHandle(), (short)events);
            // SAFETY: one entry is there, and the socket is held open for the call.
            return Poll(&descriptor, 1, 0) > 0 && (descriptor.Returned & events) != 0;
        }
        finally
        {
            if (held)
            {
                socket.DangerousRelease();
            }
        }
    }
}

/// <summary><c>struct pollfd</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollFd(int descriptor, short events)
{
    public int Descriptor = descriptor;
    public short Events = events;
    public short Returned;
}
