using System.Collections.Concurrent;
using DataPlane.Linux;
using Microsoft.Extensions.ObjectPool;

namespace DataPlane.Guard.Relay;

/// <summary>
/// One thread that moves the bytes of some relays. It waits for all of their sockets in one place, and no relay can make it wait anywhere
/// else.
/// </summary>
internal sealed class RelayWorker : IDisposable
{
    private const ulong WakeKey = 0;
    private const int EventsPerTurn = 128;
    private const uint BothDirections = EpollCalls.EpollIn | EpollCalls.EpollOut | EpollCalls.EpollReadHangUp;

    private readonly EpollSet _sockets = new(EventsPerTurn);
    private readonly EventFd _wake = new();
    private readonly ConcurrentQueue<Action> _requests = new();
    private readonly Dictionary<ulong, (RelayJob Job, RelayEnd End)> _ends = [];
    private readonly Queue<RelayJob> _queue = new();
    private readonly Thread _thread;
    private readonly Action<ChannelRelay> _ended;
    private readonly Action<Exception> _failed;
    private ulong _lastKey;
    private int _relays;
    private readonly Lock _afterEnd = new();
    private volatile bool _stopping;
    private volatile bool _hasEnded;

    /// <param name="name">The name of the thread.</param>
    /// <param name="ended">Called with each relay that is over, on a worker's thread: it must not wait.</param>
    /// <param name="failed">Called with a failure of the worker itself, which ends all of its relays.</param>
    public RelayWorker(string name, Action<ChannelRelay> ended, Action<Exception> failed)
    {
        _ended = ended;
        _failed = failed;
        try
        {
            _sockets.Add(_wake.Descriptor, WakeKey);
            _thread = new Thread(Work) { Name = name, IsBackground = true };
            _thread.Start();
        }
        catch
        {
            _sockets.Dispose();
            _wake.Dispose();
            throw;
        }
    }

    /// <summary>The pipes of this worker's relays.</summary>
    public ObjectPool<RelayPipe> Pipes { get; } = RelayPipePolicy.CreatePool();

    /// <summary>The number of relays that have not ended. Any thread.</summary>
    public int Relays => Volatile.Read(ref _relays);

    /// <summary>
    /// Runs <paramref name="request"/> on the worker's thread, soon. When that thread has ended, the caller's thread runs it: a relay that
    /// comes then ends at once instead of staying for ever.
    /// </summary>
    public void Post(Action request)
    {
        _requests.Enqueue(request);
        if (_hasEnded)
        {
            EndAll();
        }
        else
        {
            _wake.Signal();
        }
    }

    /// <summary>
    /// Watches an end of <paramref name="job"/> from now on: every change is reported once, and the job must then use the socket until
    /// EAGAIN. Call it on the worker's thread.
    /// </summary>
    public void Watch(RelayJob job, RelayEnd end, uint events = BothDirections)
    {
        if (_hasEnded)
        {
            Fail(job, Errno.ECONNABORTED);
            return;
        }

        try
        {
            _sockets.Add(end.Channel.Handle, ++_lastKey, events | EpollCalls.EpollEdge);
        }
        catch (LinuxException e)
        {
            Fail(job, e.Errno);
            return;
        }

        _ends.Add(_lastKey, (job, end));
        Enqueue(job);
    }

    /// <summary>Ends one job, and none of its neighbours, when the system refuses it something, such as room in the poll set.</summary>
    private void Fail(RelayJob job, int errno)
    {
        if (job.IsOver)
        {
            return;
        }

        job.Fail(errno);
        if (job.IsOver)
        {
            Forget(job);
        }
    }

    /// <summary>Queues <paramref name="job"/> for its next turn. Call it on the worker's thread.</summary>
    public void Enqueue(RelayJob job)
    {
        if (job.IsQueued)
        {
            return;
        }

        job.IsQueued = true;
        _queue.Enqueue(job);
    }

    /// <summary>Counts one more relay that will end here. Any thread.</summary>
    public void Adopt() => Interlocked.Increment(ref _relays);

    /// <summary>Removes a job that is over, for whatever reason. Call it on the worker's thread.</summary>
    public void Forget(RelayJob job)
    {
        // The sockets of the job are closed, which took them out of the poll set; late events of the same turn find no entry.
        foreach (var key in _ends.Where(e => e.Value.Job == job).Select(e => e.Key).ToList())
        {
            _ends.Remove(key);
        }

        if (job is not ChannelRelay relay)
        {
            return;
        }

        if (relay.ReturnLane is { } lane)
        {
            // The end is reported by the thread that read QEMU's last bytes: whoever hears of it has heard of them before.
            lane.Worker.Post(() =>
            {
                lane.Worker.Forget(lane);
                Tell(relay);
            });
        }
        else
        {
            Tell(relay);
        }
    }

    /// <summary>Ends every relay and the thread; returns when the thread has ended.</summary>
    public void Dispose()
    {
        _stopping = true;
        _wake.Signal();
        _thread.Join();
        (Pipes as IDisposable)?.Dispose();
        _sockets.Dispose();
        _wake.Dispose();
    }

    private void Work()
    {
        try
        {
            while (!_stopping)
            {
                Turn();
            }
        }
        catch (Exception e)
        {
            _failed(e);
        }

        _hasEnded = true;
        Interlocked.MemoryBarrier(); // whoever has not seen this has queued its request, and EndAll finds it
        EndAll();
    }

    /// <summary>Ends all relays after the end of the thread's loop. Any thread.</summary>
    private void EndAll()
    {
        lock (_afterEnd)
        {
            while (_requests.TryDequeue(out var request))
            {
                request();
            }

            foreach (var relay in _ends.Values.Select(e => e.Job).OfType<ChannelRelay>().Distinct().ToList())
            {
                relay.End(RelayEnding.Aborted, 0);
                Forget(relay);
            }
        }
    }

    private void Tell(ChannelRelay relay)
    {
        Interlocked.Decrement(ref _relays);
        _ended(relay);
    }

    private void Turn()
    {
        var count = _sockets.Wait(_queue.Count == 0 ? Timeout.Infinite : 0);
        for (var i = 0; i < count; i++)
        {
            (var key, var events) = _sockets.Event(i);
            if (key == WakeKey)
            {
                _wake.Reset();
            }
            else if (_ends.TryGetValue(key, out var entry))
            {
                entry.End.Take(events);
                Enqueue(entry.Job);
            }
        }

        while (_requests.TryDequeue(out var request))
        {
            request();
        }

        for (var n = _queue.Count; n > 0; n--)
        {
            var job = _queue.Dequeue();
            job.IsQueued = false;
            if (job.IsOver)
            {
                continue;
            }

            try
            {
                if (job.Run())
                {
                    Enqueue(job);
                }
            }
            catch (LinuxException e)
            {
                Fail(job, e.Errno);
                continue;
            }
            catch (ObjectDisposedException)
            {
                Fail(job, Errno.ECONNABORTED); // one of its sockets was closed elsewhere, which ends this relay and no other
                continue;
            }

            if (job.IsOver)
            {
                Forget(job);
            }
        }
    }
}
