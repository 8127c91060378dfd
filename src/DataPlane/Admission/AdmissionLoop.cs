using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// The admission thread: one epoll set over the listeners and all undecided connections. It never waits for any one of them; each is
/// <code>
/// accepted -> undecided --(bytes prove it)--> admitted
///                 |----(bytes, end, deadline, limits)--> refused
/// </code>
/// </summary>
internal sealed class AdmissionLoop : IDisposable
{
    private const ulong WakeKey = 0;

    // Per turn, so that a flood of new connections cannot keep those that are about to be decided waiting.
    private const int AcceptsPerTurn = 64;
    private const int EventsPerTurn = 256;

    private static readonly TimeSpan s_backOff = TimeSpan.FromMilliseconds(100);

    private readonly ChannelListener[] _listeners;
    private readonly AdmissionOptions _options;
    private readonly AdmissionFacts _facts;
    private readonly AdmissionCounters _counters;
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly UndecidedSet _undecided = new();
    private readonly EpollSet _epoll = new(EventsPerTurn);
    private readonly EventFd _wake = new();
    private readonly AdmissionClock _clock;
    private ulong _nextKey;
    private long _resumeAccepting = long.MaxValue;
    private volatile bool _stopping;

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
        _pool = pool;
        _time = time;
        _logger = logger;
        _clock = new AdmissionClock(time, _wake);
        _nextKey = (ulong)listeners.Length + 1;
    }

    /// <summary>Takes over each admitted channel. On the admission thread, as the next: it must not wait.</summary>
    internal required Action<AdmittedChannel> Deliver { get; init; }

    internal required Action<RefusalReason, string> Report { get; init; }

    /// <summary>Any thread; also after the loop has ended.</summary>
    internal void Stop()
    {
        _stopping = true;
        _wake.Signal();
    }

    /// <summary>Runs until <see cref="Stop"/>; returns the failure that ended it before, if one did.</summary>
    internal Exception? Run()
    {
        try
        {
            Watch();
            Span<ulong> keys = stackalloc ulong[EventsPerTurn];
            while (!_stopping)
            {
                foreach (ulong key in keys[.._epoll.Wait(keys)])
                    Handle(key);
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
            Refuse(connection, RefusalReason.Stopped);
        foreach (ChannelListener listener in _listeners)
            listener.Dispose();
        _clock.Dispose();
        _epoll.Dispose();
        _wake.Dispose();
    }

    private void Watch()
    {
        bool watched = _epoll.TryAdd(_wake.Descriptor, WakeKey);
        for (int i = 0; i < _listeners.Length && watched; i++)
            watched = _epoll.TryAdd(_listeners[i].Handle, (ulong)i + 1);
        if (!watched)
            LinuxException.ThrowLast("epoll_ctl");
    }

    private void Handle(ulong key)
    {
        if (key == WakeKey)
            _wake.Reset();
        else if (key <= (ulong)_listeners.Length)
            Accept(_listeners[key - 1]);
        else if (_undecided.TryGet(key, out UndecidedConnection? connection))
            Read(connection); // else it went earlier in this turn
    }

    private void Accept(ChannelListener listener)
    {
        if (_resumeAccepting != long.MaxValue)
            return;

        for (int i = 0; i < AcceptsPerTurn; i++)
        {
            switch (listener.TryAccept(out AcceptedSocket accepted, out int errno))
            {
                case AcceptOutcome.Accepted:
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

    /// <summary>All listeners at once: descriptors are short for all of them.</summary>
    private void BackOff(ChannelListener listener, int errno)
    {
        AdmissionLog.BackingOff(_logger, listener.LocalAddress.ToString(), Errno.Describe(errno), s_backOff);
        _resumeAccepting = _clock.After(s_backOff);
        foreach (ChannelListener each in _listeners)
            _epoll.Remove(each.Handle);
    }

    private void Add(AcceptedSocket accepted)
    {
        var connection = new UndecidedConnection(_nextKey++, accepted);
        _undecided.Add(connection, _clock.After(_options.UndecidedTimeout));
        _counters.Arrived(_undecided.Count);

        // Most honest peers have spoken before they are accepted: they are decided here, need no room, and the poll set never knows them.
        Read(connection);
        if (!_undecided.TryGet(connection.Key, out _))
            return;
        connection.IsPolled = _epoll.TryAdd(connection.Socket, connection.Key);
        if (!connection.IsPolled)
            Refuse(connection, RefusalReason.Evicted);
        else if (_undecided.VictimFor(connection.PeerGroup, _options) is { } victim)
            Refuse(victim, RefusalReason.Evicted);
    }

    private void Read(UndecidedConnection connection)
    {
        int before = connection.Opening.Length;
        if (!connection.TryRead())
        {
            Refuse(connection, RefusalReason.Closed);
            return;
        }

        if (connection.Opening.Length == before)
            return;
        AdmissionVerdict verdict = AdmissionRules.Judge(connection.Opening, _facts);
        if (verdict.Refused is { } reason)
            Refuse(connection, reason);
        else if (verdict.Admitted is { } kind)
            Admit(connection, kind);
    }

    private void Admit(UndecidedConnection connection, ChannelKind kind)
    {
        _undecided.Remove(connection);
        if (connection.IsPolled)
            _epoll.Remove(connection.Socket);
        _undecided.Rearm(connection.PeerGroup, _clock.After(_options.UndecidedTimeout));

        AdmittedChannel admitted = kind == ChannelKind.Multifd ? EstablishMultifd(connection) : EstablishMain(connection);
        _counters.Admit(kind, _undecided.Count);
        AdmissionLog.Admitted(_logger, admitted.Channel.Name, connection.Peer, _undecided.Count);
        Deliver(admitted);
    }

    private AdmittedChannel EstablishMain(UndecidedConnection connection)
    {
        _facts.AddMain();
        var channel = new Channel(connection.Socket, "main", connection.Peer, _pool, _time);
        channel.Prepend(connection.Opening);
        return new AdmittedChannel(ChannelKind.Main, 0, channel);
    }

    private AdmittedChannel EstablishMultifd(UndecidedConnection connection)
    {
        if (!MultifdInit.TryRead(connection.Opening, out MultifdInit init, out string? error))
            throw new InvalidOperationException($"The rules let an init packet through that cannot be read: {error}.");
        _facts.AddMultifd(init.Id, init.Uuid);
        return new AdmittedChannel(ChannelKind.Multifd, init.Id,
            new Channel(connection.Socket, $"multifd {init.Id}", connection.Peer, _pool, _time));
    }

    private void Refuse(UndecidedConnection connection, RefusalReason reason)
    {
        _undecided.Remove(connection);
        connection.Socket.Dispose(); // which also takes it out of the poll set
        _counters.Refuse(reason, _undecided.Count);
        AdmissionLog.Refused(_logger, connection.Peer, connection.Opening.Length, reason);
        Report(reason, connection.Peer);
    }

    private void ExpireAndRearm()
    {
        long now = _clock.Now;
        while (_undecided.First is { } connection && connection.Deadline <= now)
            Refuse(connection, connection.IsSilent ? RefusalReason.Silent : RefusalReason.Incomplete);

        if (_resumeAccepting <= now)
        {
            _resumeAccepting = long.MaxValue;
            for (int i = 0; i < _listeners.Length; i++)
                _ = _epoll.TryAdd(_listeners[i].Handle, (ulong)i + 1);
        }

        _clock.WakeAt(Math.Min(_undecided.First?.Deadline ?? long.MaxValue, _resumeAccepting));
    }
}
