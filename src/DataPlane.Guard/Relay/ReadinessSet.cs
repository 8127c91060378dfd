using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Guard.Relay;

/// <summary>
/// An edge-triggered epoll set for one thread: each socket is registered once and reports every change. After an event the thread must use
/// the socket until EAGAIN.
/// </summary>
internal sealed class ReadinessSet : IDisposable
{
    internal const uint BothDirections = SpliceCalls.EpollIn | SpliceCalls.EpollOut | SpliceCalls.EpollReadHangUp;

    private static readonly int s_dataOffset = EpollSet.EventSize - sizeof(ulong);

    private readonly SafeFileHandle _handle;
    private readonly byte[] _events = new byte[128 * EpollSet.EventSize];

    internal ReadinessSet()
    {
        var descriptor = Libc.EpollCreate(Libc.EpollCloseOnExec);
        if (descriptor < 0)
        {
            throw new LinuxException("epoll_create1", Marshal.GetLastPInvokeError());
        }

        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
    }

    /// <exception cref="ObjectDisposedException">The socket was closed meanwhile.</exception>
    internal void Add(SafeSocketHandle socket, ulong key, uint events)
    {
        var held = false;
        try
        {
            socket.DangerousAddRef(ref held); // its descriptor must not become another file's
            Add((int)socket.DangerousGetHandle(), key, events | SpliceCalls.EpollEdge);
        }
        finally
        {
            if (held)
            {
                socket.DangerousRelease();
            }
        }
    }

    internal void Add(EventFd wake, ulong key) => Add(wake.Descriptor, key, SpliceCalls.EpollIn);

    /// <summary>Waits for events, without limit or not at all; returns the number of events.</summary>
    internal unsafe int Wait(bool forEvents)
    {
        // SAFETY: the array holds 128 events, and no more than that are asked for.
        fixed (byte* events = _events)
        {
            var count = Libc.EpollWait(_handle, events, 128, forEvents ? -1 : 0);
            if (count >= 0)
            {
                return count;
            }
        }

        var errno = Marshal.GetLastPInvokeError();
        return errno == Errno.EINTR ? 0 : throw new LinuxException("epoll_wait", errno);
    }

    /// <summary>Returns event <paramref name="index"/> of the last wait.</summary>
    internal (ulong Key, uint Events) Event(int index)
    {
        ReadOnlySpan<byte> entry = _events.AsSpan(index * EpollSet.EventSize, EpollSet.EventSize);
        return (Unsafe.ReadUnaligned<ulong>(in entry[s_dataOffset]), Unsafe.ReadUnaligned<uint>(in entry[0]));
    }

    public void Dispose() => _handle.Dispose();

    private unsafe void Add(int descriptor, ulong key, uint events)
    {
        var entry = stackalloc byte[16];
        // SAFETY: the buffer holds the larger of the two layouts of struct epoll_event.
        *(uint*)entry = events;
        Unsafe.WriteUnaligned(entry + s_dataOffset, key);
        if (Libc.EpollControl(_handle, Libc.EpollAdd, descriptor, entry) != 0)
        {
            LinuxException.ThrowLast("epoll_ctl");
        }
    }
}
