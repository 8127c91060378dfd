using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// A level-triggered epoll set for one waiting thread. Each descriptor carries a key of the caller's choice, and <see cref="Wait"/> returns
/// keys only. So a descriptor that was closed, and whose number was reused, cannot be mistaken for the new one.
/// </summary>
internal sealed class EpollSet : IDisposable
{
    // struct epoll_event { uint32_t events; uint64_t data; } is packed on x86-64 and nowhere else.
    internal static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    private static readonly int s_dataOffset = EventSize - sizeof(ulong);

    private readonly SafeFileHandle _handle;
    private readonly byte[] _events;
    private readonly int _capacity;

    internal EpollSet(int capacity)
    {
        var descriptor = Libc.EpollCreate(Libc.EpollCloseOnExec);
        if (descriptor < 0)
        {
            throw new LinuxException("epoll_create1", Marshal.GetLastPInvokeError());
        }

        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
        _capacity = capacity;
        _events = new byte[capacity * EventSize];
    }

    /// <summary>
    /// Watches <paramref name="descriptor"/> for readable data, hang-up and error. When it returns false, the last P/Invoke error has the
    /// reason.
    /// </summary>
    internal unsafe bool TryAdd(int descriptor, ulong key)
    {
        var epollEvent = stackalloc byte[16];
        // SAFETY: the buffer holds the larger of the two layouts.
        *(uint*)epollEvent = Libc.EpollIn;
        Unsafe.WriteUnaligned(epollEvent + s_dataOffset, key);
        return Libc.EpollControl(_handle, Libc.EpollAdd, descriptor, epollEvent) == 0;
    }

    internal bool TryAdd(SafeSocketHandle socket, ulong key) => TryAdd((int)socket.DangerousGetHandle(), key);

    /// <summary>
    /// Removes a socket that is still open. This is needed before the socket is given away, because a registration lives as long as the
    /// socket.
    /// </summary>
    internal unsafe void Remove(SafeSocketHandle socket)
    {
        var ignored = stackalloc byte[16];
        // SAFETY: the kernel does not read the event of a removal, but kernels before 2.6.9 require a pointer.
        _ = Libc.EpollControl(_handle, Libc.EpollDelete, (int)socket.DangerousGetHandle(), ignored);
    }

    /// <summary>
    /// Waits without a time limit for at least one event. Fills <paramref name="keys"/> and returns their number, which is 0 when a signal
    /// has interrupted the wait.
    /// </summary>
    internal unsafe int Wait(Span<ulong> keys)
    {
        int count;
        fixed (byte* events = _events)
        {
            // SAFETY: the array holds _capacity events, and no more than that are asked for.
            count = Libc.EpollWait(_handle, events, Math.Min(keys.Length, _capacity), -1);
            if (count < 0)
            {
                var errno = Marshal.GetLastPInvokeError();
                return errno == Errno.EINTR ? 0 : throw new LinuxException("epoll_wait", errno);
            }

            for (var i = 0; i < count; i++)
            {
                keys[i] = Unsafe.ReadUnaligned<ulong>(events + (i * EventSize) + s_dataOffset);
            }
        }

        return count;
    }

    public void Dispose() => _handle.Dispose();
}
