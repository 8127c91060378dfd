using System.Collections.Concurrent;
using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// The admission thread: one epoll set over the listeners and all undecided connections. It never waits for any one of them; each is
/// <code>
/// accepted -> undecided --(bytes prove it)---------------------------------> admitted
///                 |   |---(bytes that only the host can judge)--> held --------^ |
///                 |-------(bytes, end, deadline, limits)-----------------> refused
/// </code>
/// </summary>
internal sealed partial class AdmissionLoop : IDisposable
{
    private const ulong WakeKey = 0;

    // Per turn, so that a flood of new connections cannot keep those that are about to be decided waiting.
    private const int AcceptsPerTurn = 64;
    private const int EventsPerTurn = 256;

    /// <summary>Connections that are read once more before one of them goes.</summary>
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
    private readonly DescriptorBudget.Door _descriptors;
    private readonly ConcurrentQueue<(string Peer, string Detail)> _falseStarts = new();
    private ulong _nextKey;
    private long _turn;
    private long _evictionsToldUntil = long.MinValue;
    private long _resumeAccepting = long.MaxValue;
    private bool _isShort;
    private volatile bool _stopping;
    private int _recheck;
    private string? _confirmed;

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

    /// <summary>Takes over each admitted channel. On the admission thread, as the next: it must not wait.</summary>
    internal required Action<AdmittedChannel> Deliver { get; init; }

    internal required Action<RefusalReason, string, string?> Report { get; init; }

    /// <summary>Any thread; also after the loop has ended.</summary>
    internal void Stop()
    {
        _stopping = true;
        _wake.Signal();
    }

    /// <summary>Any thread; holds for every byte that comes after its return.</summary>
    internal void ExpectRecovery()
    {
        _ = Interlocked.Exchange(ref _confirmed, null); // it is lost again
        _facts.AskRecovery();
        _wake.Signal();
    }

    /// <summary>Any thread; holds for every byte that comes after its return.</summary>
    internal int StartAnew()
    {
        var epoch = _facts.AskAnew();
        _ = Interlocked.Exchange(ref _recheck, 1);
        _wake.Signal();
        return epoch;
    }

    /// <summary>Any thread.</summary>
    internal void NoteFalseStart(string peer, string detail)
    {
        _falseStarts.Enqueue((peer, detail));
        _wake.Signal();
    }

    /// <summary>Any thread.</summary>
    internal void ConfirmMain(string peerGroup)
    {
        _ = Interlocked.Exchange(ref _confirmed, peerGroup);
        _wake.Signal();
    }

    /// <summary>Any thread.</summary>
    internal void Recheck()
    {
        if (Interlocked.Exchange(ref _recheck, 1) == 0)
        {
            _wake.Signal();
        }
    }

    /// <summary>Any thread.</summary>
    internal List<UndecidedInfo> Snapshot() => _undecided.Snapshot(_time);

    /// <summary>Runs until <see cref="Stop"/>; returns the failure that ended it before, if one did.</summary>
    internal Exception? Run()
    {
        try
        {
            Watch();
            Span<ulong> keys = stackalloc ulong[EventsPerTurn];
            while (!_stopping)
            {
                var count = _epoll.Wait(keys);
                _turn = _clock.Now;
                foreach (var key in keys[..count])
                {
                    Handle(key);
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

    /// <summary>Closes everything that was not handed on. On the admission thread, after <see cref="Run"/>.</summary>
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
        var watched = _epoll.TryAdd(_wake.Descriptor, WakeKey);
        for (var i = 0; i < _listeners.Length && watched; i++)
        {
            watched = _epoll.TryAdd(_listeners[i].Handle, (ulong)i + 1);
        }

        if (!watched)
        {
            LinuxException.ThrowLast("epoll_ctl");
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
            Read(connection); // else it went earlier in this turn
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

    /// <summary>All listeners at once: descriptors are short for all of them. Said once, until a connection is accepted again.</summary>
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
