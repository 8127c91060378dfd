using System.Collections.Concurrent;
using DataPlane.Linux;

namespace DataPlane.Guard.Relay;

/// <summary>
/// One thread that moves the bytes of some relays. It waits in one place for all of their sockets, and none of them can make it wait
/// anywhere else.
/// </summary>
internal sealed class RelayWorker : IDisposable
{
    private const ulong WakeKey = 0;

    private readonly ReadinessSet _sockets = new();
    private readonly EventFd _wake = new();
    private readonly ConcurrentQueue<Action> _requests = new();
    private readonly Dictionary<ulong, (ChannelRelay Relay, RelayEnd End)> _ends = [];
    private readonly Queue<ChannelRelay> _queue = new();
    private readonly Thread _thread;
    private readonly Action<ChannelRelay> _ended;
    private readonly Action<Exception> _failed;
    private ulong _lastKey;
    private int _relays;
    private volatile bool _stopping;

    /// <param name="name">Name of the thread.</param>
    /// <param name="ended">Told of each relay that is over. On the worker's thread: it must not wait.</param>
    /// <param name="failed">Told of a failure of the worker itself, which ends all of its relays.</param>
    internal RelayWorker(string name, Action<ChannelRelay> ended, Action<Exception> failed)
    {
        _ended = ended;
        _failed = failed;
        _sockets.Add(_wake, WakeKey);
        _thread = new Thread(Work) { Name = name, IsBackground = true };
        _thread.Start();
    }

    /// <summary>Pipes of this worker's relays.</summary>
    internal PipePool Pipes { get; } = new(kept: 8);

    /// <summary>Relays that have not ended. Any thread.</summary>
    internal int Relays => Volatile.Read(ref _relays);

    /// <summary>Runs <paramref name="request"/> on the worker's thread, soon.</summary>
    internal void Post(Action request)
    {
        _requests.Enqueue(request);
        _wake.Signal();
    }

    /// <summary>On the worker's thread: watches an end of <paramref name="relay"/> from now on.</summary>
    internal void Watch(ChannelRelay relay, RelayEnd end)
    {
        _ends.Add(++_lastKey, (relay, end));
        _sockets.Add(end.Channel.Handle, _lastKey);
        Enqueue(relay);
    }

    /// <summary>On the worker's thread: looks after <paramref name="relay"/> in this turn.</summary>
    internal void Enqueue(ChannelRelay relay)
    {
        if (relay.IsQueued)
            return;
        relay.IsQueued = true;
        _queue.Enqueue(relay);
    }

    /// <summary>One more relay that will end here. Any thread.</summary>
    internal void Adopt() => Interlocked.Increment(ref _relays);

    /// <summary>On the worker's thread: the relay is over, by whatever cause.</summary>
    internal void Forget(ChannelRelay relay)
    {
        // Their sockets are closed, which took them out of the poll set; late events of the same turn find no entry.
        foreach (ulong key in _ends.Where(e => e.Value.Relay == relay).Select(e => e.Key).ToList())
            _ends.Remove(key);
        Interlocked.Decrement(ref _relays);
        _ended(relay);
    }

    /// <summary>Ends every relay and the thread; returns when it has ended.</summary>
    public void Dispose()
    {
        _stopping = true;
        _wake.Signal();
        _thread.Join();
        Pipes.Dispose();
        _sockets.Dispose();
        _wake.Dispose();
    }

    private void Work()
    {
        try
        {
            while (!_stopping)
                Turn();
        }
        catch (Exception e)
        {
            _failed(e);
        }

        while (_requests.TryDequeue(out Action? request))
            request();
        foreach (ChannelRelay relay in _ends.Values.Select(e => e.Relay).Distinct().ToList())
        {
            relay.End(RelayEnding.Aborted, 0);
            Forget(relay);
        }
    }

    private void Turn()
    {
        int count = _sockets.Wait(forEvents: _queue.Count == 0);
        for (int i = 0; i < count; i++)
        {
            (ulong key, uint events) = _sockets.Event(i);
            if (key == WakeKey)
            {
                _wake.Reset();
            }
            else if (_ends.TryGetValue(key, out (ChannelRelay Relay, RelayEnd End) entry))
            {
                entry.End.Take(events);
                Enqueue(entry.Relay);
            }
        }

        while (_requests.TryDequeue(out Action? request))
            request();
        for (int n = _queue.Count; n > 0; n--)
        {
            ChannelRelay relay = _queue.Dequeue();
            relay.IsQueued = false;
            if (relay.Ending != RelayEnding.None)
                continue;
            if (relay.Run())
                Enqueue(relay);
            if (relay.Ending != RelayEnding.None)
                Forget(relay);
        }
    }
}
