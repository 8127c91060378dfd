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
/// <remarks>
/// A turn of the loop takes what the poll set brings: connections that are waiting to be accepted (<see cref="AdmissionListeners"/>,
/// <see cref="Arrivals"/>), bytes of undecided ones (<see cref="ConnectionJudge"/>), requests of other threads
/// (<see cref="AdmissionRequests"/>), TLS handshakes that have ended. Then it looks after those whose deadline is over. Nothing that it
/// uses is locked, because no other thread touches it; what other threads may use says so: the requests, the counters, the ends of
/// handshakes, and the views of <see cref="UndecidedSet"/>.
/// </remarks>
internal sealed class AdmissionLoop : IDisposable
{
    private const ulong WakeKey = 0;

    // A limit for one turn, so that many connections that speak at once cannot keep requests and deadlines waiting.
    private const int EventsPerTurn = 256;

    private readonly EpollSet _epoll = new(EventsPerTurn);
    private readonly EventFd _wake = new();
    private readonly AdmissionClock _clock;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly UndecidedSet _undecided;
    private readonly UndecidedDeadlines _deadlines;
    private readonly UndecidedRoom _room;
    private readonly Handshakes _handshakes;
    private readonly Refusals _refusals;
    private readonly RequestedChanges _changes;
    private readonly ConnectionJudge _judge;
    private readonly Arrivals _arrivals;
    private readonly AdmissionListeners _listeners;

    /// <param name="listeners">The listeners, which belong to the loop from now on.</param>
    /// <param name="options">What is expected, and the limits.</param>
    /// <param name="facts">What has been established.</param>
    /// <param name="counters">Counts what becomes of the connections.</param>
    /// <param name="pool">Blocks for the channels.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">The log.</param>
    /// <param name="deliver">Takes over each admitted channel. It is called on the admission thread and must not wait.</param>
    /// <param name="report">Reports each refusal: reason, peer and detail. It is called on the admission thread and must not wait.</param>
    public AdmissionLoop(
        ChannelListener[] listeners,
        AdmissionOptions options,
        AdmissionFacts facts,
        AdmissionCounters counters,
        BlockPool pool,
        TimeProvider time,
        ILogger logger,
        Action<AdmittedChannel> deliver,
        Action<RefusalReason, string, string?> report)
    {
        _time = time;
        _logger = logger;
        Requests = new AdmissionRequests(_wake);
        _clock = new AdmissionClock(time, _wake);
        _undecided = new UndecidedSet(options.MultifdChannels + 2);
        _deadlines = new UndecidedDeadlines(_undecided, facts, options, _clock);
        _handshakes = new Handshakes(options, facts, _wake, logger);
        var evictions = new EvictionMemory(time, options.UndecidedTimeout);
        _refusals = new Refusals(_undecided, _handshakes, facts, counters, evictions, time, logger) { Report = report };
        _room = new UndecidedRoom(_undecided, facts, options, _refusals, time, logger);
        _changes = new RequestedChanges(Requests, facts, _deadlines, _refusals, logger);
        var gate = new AdmissionGate(_undecided, _deadlines, facts, counters, evictions, _clock, pool, time, logger) { Deliver = deliver };
        _judge = new ConnectionJudge(
            options, facts, _epoll, _undecided, _deadlines, _changes, _handshakes, _refusals, gate, logger);
        _arrivals = new Arrivals(
            options, _epoll, _clock, counters, _undecided, _deadlines, _room, _handshakes, _refusals, _judge,
            firstKey: (ulong)listeners.Length + 1);
        _listeners = new AdmissionListeners(listeners, _epoll, _clock, logger) { Accepted = _arrivals.Take };
    }

    /// <summary>What other threads may ask for.</summary>
    public AdmissionRequests Requests { get; }

    /// <summary>Whether an undecided connection from this peer, or anywhere, is not held. Any thread may call it.</summary>
    public bool HasOpen(PeerGroup? peer) => _undecided.HasOpen(peer);

    /// <summary>Describes all undecided connections. Any thread may call it.</summary>
    public List<UndecidedInfo> Snapshot() => _undecided.Snapshot(_time);

    /// <summary>
    /// Runs until it is asked to stop. Returns the failure that has ended it earlier, else <see langword="null"/>.
    /// </summary>
    public Exception? Run()
    {
        try
        {
            _epoll.Add(_wake.Descriptor, WakeKey);
            _listeners.Watch();
            while (!Requests.IsStopping)
            {
                var count = _epoll.Wait();
                _clock.BeginTurn();
                for (var i = 0; i < count; i++)
                {
                    Handle(_epoll.Event(i).Key);
                }

                Expire();
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
            _refusals.Refuse(connection, RefusalReason.Stopped);
        }

        _changes.CountFalseStarts();
        _refusals.LogLeftOut(all: true);
        _handshakes.Close();
        _listeners.Dispose();
        _room.Dispose();
        _clock.Dispose();
        _epoll.Dispose();
        _wake.Dispose();
    }

    private void Handle(ulong key)
    {
        if (key == WakeKey)
        {
            OnWake();
        }
        else if (_listeners.Owns(key))
        {
            _listeners.Accept(key);
        }
        else if (_undecided.TryGet(key, out var connection))
        {
            _judge.Read(connection); // else it was decided earlier in this turn
        }
    }

    private void OnWake()
    {
        _wake.Reset();
        _changes.FreePlaces();
        _changes.CountFalseStarts();
        if (_changes.TryConfirmMain())
        {
            _judge.DecideRecords();
        }

        _arrivals.TakeUpgraded();
        if (Requests.TakeRecheck())
        {
            _judge.DecideRecords();
        }
    }

    /// <summary>Looks after everything that is due, and sets the clock to what is due next.</summary>
    private void Expire()
    {
        _changes.FreePlaces(); // a recovery that was asked for in this turn gives held connections more time
        var now = _clock.Now;
        while (_undecided.First is { } connection && connection.Deadline <= now)
        {
            if (_deadlines.Expire(connection, now, out var detail) is { } reason)
            {
                _refusals.Refuse(connection, reason, detail);
            }
        }

        _listeners.ResumeIfDue(now);
        _refusals.LogLeftOut(all: false);
        _clock.WakeAt(Math.Min(_undecided.First?.Deadline ?? long.MaxValue, Math.Min(_listeners.ResumeAt, _refusals.LogDue)));
    }
}
