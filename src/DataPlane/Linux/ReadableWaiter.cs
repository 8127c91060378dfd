using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>
/// Lets async code wait for many sockets, with one thread and without the runtime's socket engine, which would keep them registered for
/// life.
/// Thread-safe.
/// </summary>
internal sealed class ReadableWaiter : IDisposable
{
    private const ulong WakeKey = 0;
    private const int EventsPerTurn = 64;

    private readonly ConcurrentDictionary<ulong, Waiting> _waiting = [];
    private readonly EpollSet _epoll = new(EventsPerTurn);
    private readonly EventFd _wake = new();
    private readonly Thread _thread;
    private ulong _lastKey = WakeKey;
    private volatile bool _stopping;

    /// <param name="name">Name of the thread.</param>
    internal ReadableWaiter(string name)
    {
        if (!_epoll.TryAdd(_wake.Descriptor, WakeKey))
            LinuxException.ThrowLast("epoll_ctl");
        _thread = new Thread(Run) { Name = name, IsBackground = true };
        _thread.Start();
    }

    /// <summary>
    /// Completes when <paramref name="socket"/> has bytes, an end or an error; the socket is in no poll set then, and stays open until
    /// then.
    /// </summary>
    /// <exception cref="OperationCanceledException">The token has fired.</exception>
    /// <exception cref="ObjectDisposedException">The waiter was disposed of.</exception>
    internal async Task WaitAsync(SafeSocketHandle socket, CancellationToken cancellationToken)
    {
        ulong key = Interlocked.Increment(ref _lastKey);
        Waiting waiting = new(socket);
        _waiting[key] = waiting;
        if (!_epoll.TryAdd(socket, key))
            waiting.Done.TrySetException(new LinuxException("epoll_ctl", Marshal.GetLastPInvokeError()));
        if (_stopping)
            waiting.Done.TrySetException(new ObjectDisposedException(nameof(ReadableWaiter)));
        try
        {
            await waiting.Done.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            // The thread takes it out as soon as it is ready: a level that stays up would have it spin.
            if (_waiting.TryRemove(key, out _))
                _epoll.Remove(socket);
        }
    }

    /// <summary>Ends all waits. Idempotent.</summary>
    public void Dispose()
    {
        if (_stopping)
            return;
        _stopping = true;
        _wake.Signal();
        _thread.Join();
        foreach (Waiting waiting in _waiting.Values)
            waiting.Done.TrySetException(new ObjectDisposedException(nameof(ReadableWaiter)));
        _epoll.Dispose();
        _wake.Dispose();
    }

    private void Run()
    {
        Span<ulong> keys = stackalloc ulong[EventsPerTurn];
        while (!_stopping)
        {
            int count = _epoll.Wait(keys);
            foreach (ulong key in keys[..count])
            {
                if (key == WakeKey || !_waiting.TryRemove(key, out Waiting? waiting))
                    continue;
                _epoll.Remove(waiting.Socket);
                waiting.Done.TrySetResult();
            }
        }
    }

    private sealed record Waiting(SafeSocketHandle Socket)
    {
        internal TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
