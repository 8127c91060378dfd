using DataPlane.Admission;
using DataPlane.Guard.Entrance;
using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// Introduces TLS sessions to QEMU, one at a time, and posts how each introduction ended. Only the session's loop uses it; a handshake runs
/// beside the loop.
/// </summary>
internal sealed class TlsQueue(
    GuardedVmOptions options,
    QemuTarget target,
    IQemuEntrance entrance,
    GuardChannels channels,
    PublicListener listener,
    SessionTasks tasks,
    SessionEvents events,
    TimeProvider time,
    ILogger logger)
{
    private readonly TlsSessions _sessions = new(target, options.AnyPeer);
    private readonly RefusalThrottle _keptOut = new(time);
    private TlsSessions.Waiting? _introduced;

    /// <summary>Whether no session is in its handshake with QEMU.</summary>
    public bool IsIdle => _introduced is null;

    /// <summary>Whether QEMU has none of the sessions that it expects.</summary>
    public bool IsEmpty => _sessions.Count == 0;

    public bool MayCome(PeerGroup address) => _sessions.MayCome(address);

    public bool IsOwn(PeerGroup address) => _sessions.IsOwn(address);

    public void ExpectRecovery() => _sessions.ExpectRecovery();

    /// <summary>Adds a session that waits for its turn.</summary>
    public void Add(TlsSessions.Waiting session)
    {
        if (_sessions.Add(session) is { } last)
        {
            channels.Drop(last);
        }
    }

    /// <summary>
    /// Begins the handshake of the session whose turn it is, unless another is under way or QEMU has all that it expects.
    /// </summary>
    public void IntroduceNext()
    {
        if (_introduced is not null || _sessions.IsComplete)
        {
            return;
        }

        _introduced = _sessions.TakeNext();
        if (_introduced is { } next)
        {
            next.Relay.Claim(); // from now on the introduction sees what ends it
            _ = tasks.Run(ending => IntroduceAsync(next, ending));
        }
    }

    /// <summary>Takes note that the handshake is over, and returns the session.</summary>
    public TlsSessions.Waiting EndIntroduction()
    {
        var session = _introduced!;
        _introduced = null;
        return session;
    }

    /// <summary>Counts a session that has come through its handshake, and lets QEMU keep it.</summary>
    public void LetIn(TlsSessions.Waiting session, TlsIntroduced introduced, RelayWatch? watch)
    {
        _sessions.LetIn(session.Relay, session.Address);
        entrance.Keep(introduced, watch);
        GuardLog.SessionLetIn(logger, options.Name, session.Relay.Peer, _sessions.Count);
    }

    /// <summary>Drops the sessions that wait and can no longer belong to the migration, after one was let in.</summary>
    public void DropSurplus()
    {
        foreach (var surplus in _sessions.TakeSurplus())
        {
            channels.Drop(surplus);
        }

        if (_sessions.IsComplete)
        {
            GuardLog.HandedOver(logger, options.Name);
        }
    }

    /// <summary>Drops a session that has not come through its handshake.</summary>
    public void KeepOut(TlsSessions.Waiting session, IntroductionResult result)
    {
        if (result != IntroductionResult.NotServed)
        {
            Blame(session, result);
        }

        channels.Drop(session.Relay);
    }

    /// <summary>Forgets a session that has ended. Returns false where its introduction will find out what that end means.</summary>
    public bool Forget(ChannelRelay relay)
    {
        if (relay == _introduced?.Relay)
        {
            return false;
        }

        _sessions.Remove(relay);
        if (relay.Qemu is null)
        {
            channels.Remove(relay);
        }

        return true;
    }

    /// <summary>Drops the sessions that wait.</summary>
    public void DropWaiting()
    {
        while (_sessions.TakeNext() is { } waiting)
        {
            channels.Drop(waiting.Relay);
        }
    }

    private async Task IntroduceAsync(TlsSessions.Waiting session, CancellationToken cancellationToken)
    {
        TlsIntroduced introduced;
        try
        {
            introduced = await entrance.IntroduceAsync(session.Relay, session.Hello, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            introduced = NotServed(session, null); // the guard ends
        }
        catch (ChannelException e) when (!Shortage.Is(e))
        {
            introduced = NotServed(session, e.Message); // QEMU cannot be reached
        }
        // There is no descriptor, memory or thread for the session: it ends alone, and the next one gets its turn.
        catch (Exception e)
        {
            GuardLog.NotTaken(logger, options.Name, ChannelKind.Tls, session.Relay.Peer ?? "", e.Message);
            introduced = NotServed(session, null);
        }

        events.Post(new GuardEvent.Introduced(introduced));
    }

    private static TlsIntroduced NotServed(TlsSessions.Waiting session, string? error) =>
        new(session.Relay, IntroductionResult.NotServed) { Error = error };

    private void Blame(TlsSessions.Waiting session, IntroductionResult result)
    {
        if (_keptOut.TryPass(RefusalReason.TlsHandshake, session.Relay.Peer ?? ""))
        {
            GuardLog.SessionKeptOut(logger, options.Name, session.Relay.Peer, result);
        }

        foreach ((_, var more, var last) in _keptOut.TakeLeftOut())
        {
            GuardLog.SessionsKeptOut(logger, options.Name, more, last);
        }

        listener.CountRefused(RefusalReason.TlsHandshake);
        _sessions.Blame(session.Address);
    }
}
