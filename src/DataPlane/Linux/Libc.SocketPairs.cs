using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>Pairs of connected sockets inside the process, and the test whether a peer has hung up.</summary>
internal static unsafe partial class Libc
{
    internal const short PollHangUp = 0x10;

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    private static partial int SocketPair(int family, int type, int protocol, int* descriptors);

    /// <summary>Creates two blocking stream sockets that are connected to each other.</summary>
    /// <exception cref="LinuxException">No descriptors are left, or the system refused the call for another reason.</exception>
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

    /// <summary>
    /// Whether both directions of a socket are over. The peer of a Unix socket that has only shut down its own direction has not hung up.
    /// </summary>
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
