using System.Net.Sockets;

namespace DataPlane.Tool.Bench;

/// <summary>
/// One thread per wire connection. All threads are created before the clock starts, and start together. The first failure counts: it closes
/// every socket, which ends the calls of all other threads.
/// </summary>
internal sealed class WireThreads : IDisposable
{
    private readonly Thread[] _threads;
    private readonly List<Socket> _sockets = [];
    private readonly ManualResetEventSlim _start = new(false);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private Exception? _failure;
    private int _running;
    private bool _stopped;

    /// <param name="name">What the threads are called in a debugger.</param>
    /// <param name="count">Number of threads.</param>
    /// <param name="work">What each thread does; it gets the thread's number.</param>
    public WireThreads(string name, int count, Action<WireThreads, int> work)
    {
        _running = count;
        _threads = new Thread[count];
        for (var i = 0; i < count; i++)
        {
            var index = i;
            _threads[i] = new Thread(() => Run(index, work)) { Name = $"{name}-{index}", IsBackground = true };
            _threads[i].Start();
        }
    }

    /// <summary>Cancelled when the threads have to end, for waits that no closed socket ends.</summary>
    public CancellationToken Stopped => _stop.Token;

    public void Start() => _start.Set();

    /// <summary>
    /// Takes a socket, to close it when the threads are stopped; false when they are stopped already: the socket is closed then.
    /// </summary>
    public bool Own(Socket socket)
    {
        lock (_sockets)
        {
            if (!_stopped)
            {
                _sockets.Add(socket);
                return true;
            }
        }

        socket.Dispose();
        return false;
    }

    /// <summary>Waits until every thread has ended, and throws the first failure. Cancellation stops the threads.</summary>
    public async Task WaitAsync(CancellationToken cancellation)
    {
        using var stop = cancellation.Register(Stop);
        await _ended.Task.ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        if (_failure is { } failure)
        {
            throw new IOException($"wire limit: {failure.Message}", failure);
        }
    }

    private void Run(int index, Action<WireThreads, int> work)
    {
        try
        {
            _start.Wait(Stopped);
            work(this, index);
        }
        // WaitAsync reports every exception; one that left the thread would end the process.
#pragma warning disable CA1031
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Interlocked.CompareExchange(ref _failure, exception, null);
            Stop();
        }
        finally
        {
            if (Interlocked.Decrement(ref _running) == 0)
            {
                _ended.TrySetResult();
            }
        }
    }

    private void Stop()
    {
        Socket[] sockets;
        lock (_sockets)
        {
            _stopped = true;
            sockets = [.. _sockets];
            _sockets.Clear();
        }

        _stop.Cancel();
        foreach (var socket in sockets)
        {
            socket.Dispose();
        }
    }

    public void Dispose()
    {
        Stop();
        foreach (var thread in _threads)
        {
            thread.Join();
        }

        _start.Dispose();
        _stop.Dispose();
    }
}
