using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// An epoll set for one waiting thread. Each descriptor carries a key of the caller's choice, and <see cref="Wait"/> tells by keys what has
/// happened. So a descriptor that was closed, and whose number was reused, cannot be mistaken for the new one.
/// </summary>
internal sealed class EpollSet : IDisposable
{
    // struct epoll_event { uint32_t events; uint64_t data; } is packed on x86-64 and nowhere else.
    public static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    private static readonly int s_dataOffset = EventSize - sizeof(ulong);

    private readonly SafeFileHandle _handle;
    private readonly byte[] _events;
    private readonly int _capacity;

    /// <param name="capacity">The most events that one <see cref="Wait"/> brings.</param>
    public EpollSet(int capacity)
    {
        var descriptor = EpollCalls.EpollCreate(EpollCalls.EpollCloseOnExec);
        if (descriptor < 0)
        {
            throw new LinuxException("epoll_create1", Marshal.GetLastPInvokeError());
        }

        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
        _capacity = capacity;
        _events = new byte[capacity * EventSize];
    }

    /// <summary>
    /// Watches <paramref name="descriptor"/> for <paramref name="events"/>, hang-up and error. It is reported as long as there is one, or
    /// with <see cref="EpollCalls.EpollEdge"/> once for each change. The caller keeps it open meanwhile.
    /// </summary>
    /// <returns>Whether it is in the set; if it is not, the last P/Invoke error has the reason.</returns>
    public unsafe bool TryAdd(int descriptor, ulong key, uint events = EpollCalls.EpollIn)
    {
        var epollEvent = stackalloc byte[16];
        // SAFETY: the buffer holds the larger of the two layouts.
        *(uint*)epollEvent = events;
        Unsafe.WriteUnaligned(epollEvent + s_dataOffset, key);
        return EpollCalls.EpollControl(_handle, EpollCalls.EpollAdd, descriptor, epollEvent) == 0;
    }

    /// <inheritdoc cref="TryAdd(int, ulong, uint)"/>
    public bool TryAdd(SafeSocketHandle socket, ulong key) => TryAdd((int)socket.DangerousGetHandle(), key);

    /// <summary>As <see cref="TryAdd(int, ulong, uint)"/>, for a descriptor that must be watched.</summary>
    /// <exception cref="LinuxException">The system refuses it.</exception>
    public void Add(int descriptor, ulong key, uint events = EpollCalls.EpollIn)
    {
        if (!TryAdd(descriptor, key, events))
        {
            LinuxException.ThrowLast("epoll_ctl");
        }
    }

    /// <summary>Watches a socket that another thread may be about to close.</summary>
    /// <exception cref="ObjectDisposedException">The socket was closed meanwhile.</exception>
    /// <exception cref="LinuxException">The system refuses it.</exception>
    public void Add(SafeSocketHandle socket, ulong key, uint events = EpollCalls.EpollIn)
    {
        var held = false;
        try
        {
            socket.DangerousAddRef(ref held); // its descriptor must not become another file's
            Add((int)socket.DangerousGetHandle(), key, events);
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
    /// Removes a socket that is still open. This is needed before the socket is given away, because a registration lives as long as the
    /// socket.
    /// </summary>
    public unsafe void Remove(SafeSocketHandle socket)
    {
        var ignored = stackalloc byte[16];
        // SAFETY: the kernel does not read the event of a removal, but kernels before 2.6.9 require a pointer.
        _ = EpollCalls.EpollControl(_handle, EpollCalls.EpollDelete, (int)socket.DangerousGetHandle(), ignored);
    }

    /// <summary>
    /// Waits for at least one event, without a time limit unless one is given. Returns the number of events, for <see cref="Event"/>; it is
    /// 0 when the time is over or a signal has interrupted the wait.
    /// </summary>
    public unsafe int Wait(int timeoutMilliseconds = Timeout.Infinite)
    {
        fixed (byte* events = _events)
        {
            // SAFETY: the array holds _capacity events, and no more than that are asked for.
            var count = EpollCalls.EpollWait(_handle, events, _capacity, timeoutMilliseconds);
            if (count >= 0)
            {
                return count;
            }
        }

        var errno = Marshal.GetLastPInvokeError();
        return errno == Errno.EINTR ? 0 : throw new LinuxException("epoll_wait", errno);
    }

    /// <summary>Returns event <paramref name="index"/> of the last <see cref="Wait"/>.</summary>
    public (ulong Key, uint Events) Event(int index)
    {
        ReadOnlySpan<byte> entry = _events.AsSpan(index * EventSize, EventSize);
        return (Unsafe.ReadUnaligned<ulong>(in entry[s_dataOffset]), Unsafe.ReadUnaligned<uint>(in entry[0]));
    }

    public void Dispose() => _handle.Dispose();
}
