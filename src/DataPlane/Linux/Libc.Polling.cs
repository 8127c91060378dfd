using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>Waiting for descriptors: poll for one or two of them, epoll for many, eventfd to be woken by another thread.</summary>
internal static unsafe partial class Libc
{
    internal const short PollIn = 1;
    internal const short PollOut = 4;

    /// <summary>The peer has shut down its sending direction (POLLRDHUP).</summary>
    internal const short PollPeerEnded = 0x2000;

    internal const int EpollCloseOnExec = 0x80000;
    internal const int EpollAdd = 1;
    internal const int EpollDelete = 2;
    internal const uint EpollIn = 1;
    internal const uint EpollOut = 4;
    internal const uint EpollError = 8;
    internal const uint EpollHangUp = 0x10;
    internal const uint EpollReadHangUp = 0x2000;
    internal const uint EpollEdge = 1u << 31;

    internal const int EventFdCloseOnExec = 0x80000;
    internal const int EventFdNonBlocking = 0x800;

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    internal static partial int Poll(PollFd* descriptors, nuint count, int timeoutMilliseconds);

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    internal static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    internal static partial int EpollControl(SafeFileHandle set, int operation, int descriptor, byte* epollEvent);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    internal static partial int EpollWait(SafeFileHandle set, byte* events, int capacity, int timeoutMilliseconds);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    internal static partial int CreateEventFd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    internal static partial nint ReadEventFd(SafeFileHandle descriptor, ulong* value, nuint length);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    internal static partial nint WriteEventFd(SafeFileHandle descriptor, ulong* value, nuint length);

    /// <summary>
    /// Waits until <paramref name="socket"/> can take bytes, or the peer of <paramref name="companion"/> has ended its direction. Returns
    /// false in the second case.
    /// </summary>
    internal static bool WaitToSend(SafeSocketHandle socket, SafeSocketHandle companion)
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
    internal static bool WaitFor(SafeSocketHandle socket, short events, EventFd? wake, int timeoutMilliseconds)
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
}

/// <summary><c>struct pollfd</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollFd(int descriptor, short events)
{
    internal int Descriptor = descriptor;
    internal short Events = events;
    internal short Returned;
}
