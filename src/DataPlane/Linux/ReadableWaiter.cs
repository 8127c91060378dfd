using System.Collections.Concurrent;
using System.Net.Sockets;

namespace DataPlane.Linux;

/// <summary>
/// Lets async code wait for many sockets with one thread. The runtime's socket engine would keep the sockets registered for life.
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
    public ReadableWaiter(string name)
    {
        try
        {
            _epoll.Add(_wake.Descriptor, WakeKey);
            _thread = new Thread(Run) { Name = name, IsBackground = true };
            _thread.Start();
        }
        catch
        {
            _epoll.Dispose();
            _wake.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Completes when <paramref name="socket"/> has bytes, an end or an error; the socket is in no poll set then. It may be disposed of
    /// meanwhile: its descriptor stays open until the wait has ended, so the number cannot be reused.
    /// </summary>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="LinuxException">The socket cannot be watched.</exception>
    /// <exception cref="ObjectDisposedException">The waiter, or the socket, was disposed of.</exception>
    public async Task WaitAsync(SafeSocketHandle socket, CancellationToken cancellationToken)
    {
        var key = Interlocked.Increment(ref _lastKey);
        Waiting waiting = new(socket);
        _waiting[key] = waiting;
        try
        {
            _epoll.Add((int)socket.DangerousGetHandle(), key); // the entry holds it open
            ObjectDisposedException.ThrowIf(_stopping, this);
            // The socket is released at once, and not when the continuation runs: whoever cancels may be about to count descriptors.
            using var onCancel = cancellationToken.UnsafeRegister(_ =>
            {
                TakeOut(key);
                waiting.Done.TrySetCanceled(cancellationToken);
            }, null);
            await waiting.Done.Task.ConfigureAwait(false);
        }
        finally
        {
            TakeOut(key);
        }
    }

    /// <summary>Ends all waits. Idempotent.</summary>
    public void Dispose()
    {
        if (_stopping)
        {
            return;
        }

        _stopping = true;
        _wake.Signal();
        _thread.Join();
        foreach (var key in _waiting.Keys)
        {
            TakeOut(key)?.Done.TrySetException(new ObjectDisposedException(nameof(ReadableWaiter)));
        }

        _epoll.Dispose();
        _wake.Dispose();
    }

    private void Run()
    {
        while (!_stopping)
        {
            var count = _epoll.Wait();
            for (var i = 0; i < count; i++)
            {
                var key = _epoll.Event(i).Key;
                // The set is level-triggered: a socket that stayed in it while it is readable would make this thread spin.
                if (key != WakeKey)
                {
                    TakeOut(key)?.Done.TrySetResult();
                }
            }
        }
    }

    /// <summary>Removes the wait and its socket from the poll set, then releases the descriptor. Only one caller gets the entry.</summary>
    private Waiting? TakeOut(ulong key)
    {
        if (!_waiting.TryRemove(key, out var waiting))
        {
            return null;
        }

        try
        {
            _epoll.Remove(waiting.Socket);
        }
        catch (ObjectDisposedException)
        {
            // The set has been disposed of, with all that was in it.
        }

        waiting.Socket.DangerousRelease();
        return waiting;
    }

    /// <summary>One wait, which holds a reference on its socket so that the descriptor stays open.</summary>
    private sealed class Waiting
    {
        public Waiting(SafeSocketHandle socket)
        {
            var isHeld = false;
            socket.DangerousAddRef(ref isHeld);
            Socket = socket;
        }

        public SafeSocketHandle Socket { get; }

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
