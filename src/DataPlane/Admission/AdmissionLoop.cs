using System.Collections.Concurrent;
using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// The admission thread: one epoll set over the listeners and all undecided connections. It never waits for a single connection. These are
/// the states of a connection:
/// <code>
/// accepted -> undecided --(bytes prove it)---------------------------------> admitted
///                 |   |---(bytes that only the host can judge)--> held --------^ |
///                 |-------(bytes, end, deadline, limits)-----------------> refused
/// </code>
/// </summary>
internal sealed partial class AdmissionLoop : IDisposable
{
    private const ulong WakeKey = 0;

    // Limits of one turn, so that a flood of new connections cannot delay those that are about to be decided.
    private const int AcceptsPerTurn = 64;
    private const int EventsPerTurn = 256;

    /// <summary>How many connections are read once more, at most, before one is given up for want of room.</summary>
    private const int MostLooks = 8;

    private static readonly TimeSpan s_backOff = TimeSpan.FromMilliseconds(100);

    private readonly ChannelListener[] _listeners;
    private readonly AdmissionOptions _options;
    private readonly AdmissionFacts _facts;
    private readonly AdmissionCounters _counters;
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly UndecidedSet _undecided;
    private readonly EpollSet _epoll = new(EventsPerTurn);
    private readonly EventFd _wake = new();
    private readonly AdmissionClock _clock;
    private readonly RefusalThrottle _throttle;
    private readonly RefusalThrottle _throttleOfMigration;
    private readonly EvictionMemory _evictions;
    private readonly DescriptorBudget.Share _descriptors;
    private readonly ConcurrentQueue<(string Peer, string Detail)> _falseStarts = new();
    private ulong _nextKey;
    private long _turn;
    private long _evictionsToldUntil = long.MinValue;
    private long _resumeAccepting = long.MaxValue;
    private bool _isShort;
    private volatile bool _stopping;
    private int _recheck;
    private AdmittedChannel? _confirmed;

    internal AdmissionLoop(
        ChannelListener[] listeners,
        AdmissionOptions options,
        AdmissionFacts facts,
        AdmissionCounters counters,
        BlockPool pool,
        TimeProvider time,
        ILogger logger)
    {
        _listeners = listeners;
        _options = options;
        _facts = facts;
        _counters = counters;
        _undecided = new UndecidedSet(options.MultifdChannels + 2);
        _pool = pool;
        _time = time;
        _logger = logger;
        _clock = new AdmissionClock(time, _wake);
        _throttle = new RefusalThrottle(time);
        _throttleOfMigration = new RefusalThrottle(time);
        _evictions = new EvictionMemory(time, options.UndecidedTimeout);
        _descriptors = DescriptorBudget.Process.Open(options.ReservedDescriptors);
        if (MaxUndecided < options.MaxUndecided)
        {
            AdmissionLog.FewDescriptors(logger, MaxUndecided, options.MaxUndecided);
        }

        _nextKey = (ulong)listeners.Length + 1;
    }

    /// <summary>Takes over each admitted channel. It is called on the admission thread and must not wait.</summary>
    internal required Action<AdmittedChannel> Deliver { get; init; }

    /// <summary>Reports each refusal: reason, peer and detail. It is called on the admission thread and must not wait.</summary>
    internal required Action<RefusalReason, string, string?> Report { get; init; }

    /// <summary>Ends <see cref="Run"/>. Any thread may call it, also after the loop has ended.</summary>
    internal void Stop()
    {
        _stopping = true;
        _wake.Signal();
    }

    /// <summary>Frees the places of main and preempt for every byte that comes after its return. Any thread may call it.</summary>
    internal void ExpectRecovery()
    {
        _ = Interlocked.Exchange(ref _confirmed, null); // the link of that main channel is lost
        _facts.AskRecovery();
        _wake.Signal();
    }

    /// <summary>
    /// Frees all places for every byte that comes after its return, and returns the epoch of the new set. Any thread may call it.
    /// </summary>
    internal int StartAnew()
    {
        var epoch = _facts.AskAnew();
        _ = Interlocked.Exchange(ref _recheck, 1);
        _wake.Signal();
        return epoch;
    }

    /// <summary>Has a false start counted, logged and reported. Any thread may call it.</summary>
    internal void NoteFalseStart(string peer, string detail)
    {
        _falseStarts.Enqueue((peer, detail));
        _wake.Signal();
    }

    /// <summary>Gives main's place to a recovered main channel, unless its set has been given up. Any thread may call it.</summary>
    internal void ConfirmMain(AdmittedChannel main)
    {
        _ = Interlocked.Exchange(ref _confirmed, main);
        _wake.Signal();
    }

    /// <summary>Has the held connections judged again. Any thread may call it.</summary>
    internal void Recheck()
    {
        if (Interlocked.Exchange(ref _recheck, 1) == 0)
        {
            _wake.Signal();
        }
    }

    /// <summary>Whether an undecided connection from this peer, or anywhere, is not held. Any thread may call it.</summary>
    internal bool HasOpen(PeerGroup? peer) => _undecided.HasOpen(peer);

    /// <summary>Describes all undecided connections. Any thread may call it.</summary>
    internal List<UndecidedInfo> Snapshot() => _undecided.Snapshot(_time);

    /// <summary>
    /// Runs until <see cref="Stop"/> is called. Returns the failure that has ended it earlier, else <see langword="null"/>.
    /// </summary>
    internal Exception? Run()
    {
        try
        {
            Watch();
            while (!_stopping)
            {
                var count = _epoll.Wait();
                _turn = _clock.Now;
                for (var i = 0; i < count; i++)
                {
                    Handle(_epoll.Event(i).Key);
                }

                ExpireAndRearm();
            }

            return null;
        }
        catch (Exception e)
        {
            AdmissionLog.Failed(_logger, e);
            return e;
        }
    }

    /// <summary>Closes everything that was not handed on. Call it on the admission thread, after <see cref="Run"/>.</summary>
    public void Dispose()
    {
        while (_undecided.First is { } connection)
        {
            Refuse(connection, RefusalReason.Stopped);
        }

        TakeFalseStarts();
        LogLeftOut(_throttle, all: true);
        LogLeftOut(_throttleOfMigration, all: true);
        EndUpgrades();
        foreach (var listener in _listeners)
        {
            listener.Dispose();
        }

        _descriptors.Dispose();
        _clock.Dispose();
        _epoll.Dispose();
        _wake.Dispose();
    }

    private void Watch()
    {
        _epoll.Add(_wake.Descriptor, WakeKey);
        for (var i = 0; i < _listeners.Length; i++)
        {
            _epoll.Add(_listeners[i].Handle, (ulong)i + 1);
        }
    }

    private void Handle(ulong key)
    {
        if (key == WakeKey)
        {
            OnWake();
        }
        else if (key <= (ulong)_listeners.Length)
        {
            Accept(_listeners[key - 1]);
        }
        else if (_undecided.TryGet(key, out var connection))
        {
            Read(connection); // else it was decided earlier in this turn
        }
    }

    private void Accept(ChannelListener listener)
    {
        if (_resumeAccepting != long.MaxValue)
        {
            return;
        }

        for (var i = 0; i < AcceptsPerTurn; i++)
        {
            switch (listener.TryAccept(out var accepted, out var errno))
            {
                case AcceptOutcome.Accepted:
                    _isShort = false;
                    Add(accepted);
                    break;
                case AcceptOutcome.Retry:
                    AdmissionLog.LostBeforeAccept(_logger, listener.LocalAddress.ToString(), Errno.Describe(errno));
                    break;
                case AcceptOutcome.BackOff:
                    BackOff(listener, errno);
                    return;
                case AcceptOutcome.Empty:
                    return;
                default:
                    throw new LinuxException("accept4", errno, listener.LocalAddress.ToString());
            }
        }
    }

    /// <summary>
    /// Pauses all listeners, because descriptors or memory are short for all of them. That is logged once until a connection is accepted.
    /// </summary>
    private void BackOff(ChannelListener listener, int errno)
    {
        if (!_isShort)
        {
            AdmissionLog.BackingOff(_logger, listener.LocalAddress.ToString(), Errno.Describe(errno), s_backOff);
        }

        _isShort = true;
        _resumeAccepting = _clock.After(s_backOff);
        foreach (var each in _listeners)
        {
            _epoll.Remove(each.Handle);
        }
    }

    private void ExpireAndRearm()
    {
        var now = _clock.Now;
        while (_undecided.First is { } connection && connection.Deadline <= now)
        {
            Expire(connection, now);
        }

        if (_resumeAccepting <= now)
        {
            _resumeAccepting = long.MaxValue;
            for (var i = 0; i < _listeners.Length; i++)
            {
                _ = _epoll.TryAdd(_listeners[i].Handle, (ulong)i + 1);
            }
        }

        LogLeftOut(_throttle, all: false);
        LogLeftOut(_throttleOfMigration, all: false);
        var logDue = Math.Min(_throttle.Due, _throttleOfMigration.Due);
        _clock.WakeAt(Math.Min(_undecided.First?.Deadline ?? long.MaxValue, Math.Min(_resumeAccepting, logDue)));
    }

    private void LogLeftOut(RefusalThrottle throttle, bool all)
    {
        foreach ((var reason, var count, var peer) in throttle.TakeLeftOut(all))
        {
            AdmissionLog.RefusedMore(_logger, count, peer, reason);
        }
    }
}
