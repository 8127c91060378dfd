using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>Pairs of connected sockets inside the process, and whether the other one is still there.</summary>
internal static unsafe partial class Libc
{
    internal const short PollHangUp = 0x10;

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    private static partial int SocketPair(int family, int type, int protocol, int* descriptors);

    /// <summary>Two blocking stream sockets, each the other's peer.</summary>
    /// <exception cref="LinuxException">There are no more descriptors.</exception>
    internal static (SafeSocketHandle One, SafeSocketHandle Other) CreateSocketPair()
    {
        var descriptors = stackalloc int[2];
        // SAFETY: the kernel writes two descriptors into the room for two.
        if (SocketPair(FamilyUnix, SocketStream | SocketCloseOnExec, 0, descriptors) != 0)
        {
            LinuxException.ThrowLast("socketpair");
        }

        return (new SafeSocketHandle(descriptors[0], ownsHandle: true), new SafeSocketHandle(descriptors[1], ownsHandle: true));
    }

    /// <summary>Whether both directions are over: a Unix socket's peer that has only finished its own is still there.</summary>
    internal static bool HasHungUp(SafeSocketHandle socket)
    {
        var held = false;
        try
        {
            socket.DangerousAddRef(ref held);
            var descriptor = new PollFd((int)socket.DangerousGetHandle(), 0);
            // SAFETY: one entry is there, and the socket is held open for the call.
            return Poll(&descriptor, 1, 0) > 0 && (descriptor.Returned & PollHangUp) != 0;
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
