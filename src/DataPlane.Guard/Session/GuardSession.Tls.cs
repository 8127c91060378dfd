using DataPlane.Admission;
using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>
/// Handles TLS that ends in QEMU. Sessions are introduced one at a time, and the monitor tells where the migration stands, because the
/// return path cannot be read.
/// </summary>
internal sealed partial class GuardSession
{
    private Task _introduction = Task.CompletedTask;
    private TlsSessions.Waiting? _introduced;
    private int _lastSession;

    private void AdmitSession(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        var address = channel.PeerGroup;
        // A source often notices the loss of its link before QEMU does; its recovery waits until QEMU has noticed too.
        var mayCome = _sessions.MayCome(address) || (State == GuardState.Postcopy && _sessions.IsOwn(address));
        if (State is GuardState.Completed or GuardState.Failed || !mayCome)
        {
            Refuse(channel);
            return;
        }

        var relay = _relays.Hold(ChannelKind.Tls, _lastSession++, channel.Channel);
        AddView(relay);
        if (_sessions.Add(new TlsSessions.Waiting(relay, channel.Consumed, address)) is { } last)
        {
            Drop(last);
        }

        IntroduceNext(cancellationToken);
    }

    private void IntroduceNext(CancellationToken cancellationToken)
    {
        // In postcopy QEMU has all it needs, so a session that comes then waits for a pause. One that comes while main is being lost waits
        // too: QEMU would take it for the preempt channel of that link.
        if (_introduced is not null || _sessions.IsComplete || _main is { IsLosing: true }
            || State is GuardState.Postcopy or GuardState.Completed or GuardState.Failed)
        {
            return;
        }

        _introduced = _sessions.TakeNext();
        if (_introduced is not { } next)
        {
            return;
        }

        next.Relay.Claim(); // from now on the introduction sees what ends it
        _introduction = IntroduceAsync(next, cancellationToken);
    }

    private async Task IntroduceAsync(TlsSessions.Waiting session, CancellationToken cancellationToken)
    {
        TlsIntroduced introduced;
        try
        {
            introduced = await ShakeHandsAsync(session, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested || _ending.IsCancellationRequested)
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
            GuardLog.NotTaken(_logger, _options.Name, ChannelKind.Tls, session.Relay.Peer ?? "", e.Message);
            introduced = NotServed(session, null);
        }

        if (!_events.Writer.TryWrite(new GuardEvent.Introduced(introduced)))
        {
            introduced.Qemu?.Abort();
        }
    }

    private static TlsIntroduced NotServed(TlsSessions.Waiting session, string? error) =>
        new(session.Relay, IntroductionResult.NotServed, null, 0, default, error);

    private async Task<TlsIntroduced> ShakeHandsAsync(TlsSessions.Waiting session, CancellationToken cancellationToken)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _ending.Token);
        var qemu = await DialAsync(session.Relay.ChannelId, ended.Token).ConfigureAwait(false);
        var isIn = false;
        try
        {
            var sent = SendOpening(qemu, session.Hello.Span);
            if (!sent.Complete || !Linux.SocketCalls.TrySetBlocking(qemu.Handle, false))
            {
                throw ChannelException.From(sent, qemu, "handing its first bytes to QEMU");
            }

            using var introduction = new TlsIntroduction(session.Relay.Client!.Channel.Handle, qemu.Handle,
                _monitor is null ? null : _monitor.IsTurningAsync, _options.TlsHandshakeTimeout, _time, ended.Token);
            var result = await Task.Factory.StartNew(
                introduction.Run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).ConfigureAwait(false);
            ended.Token.ThrowIfCancellationRequested(); // a handshake that the guard's own end has cut says nothing about the client
            isIn = result == IntroductionResult.LetIn;
            return new TlsIntroduced(session.Relay, result, isIn ? qemu : null,
                session.Hello.Length + introduction.ClientBytes, introduction.Leftover, null);
        }
        finally
        {
            if (!isIn)
            {
                await qemu.DisposeAsync().ConfigureAwait(false); // a plain end: QEMU drops the session and goes on
            }
        }
    }

    private async ValueTask TakeIntroducedAsync(TlsIntroduced introduced, CancellationToken cancellationToken)
    {
        var session = _introduced!;
        _introduced = null;
        if (introduced.Qemu is { } qemu)
        {
            await LetInAsync(session, introduced, qemu).ConfigureAwait(false);
        }
        else
        {
            if (introduced.Result != IntroductionResult.NotServed)
            {
                Blame(session, introduced.Result);
            }

            Drop(session.Relay);
            if (introduced.Error is { } error && !cancellationToken.IsCancellationRequested)
            {
                await FailAsync(error).ConfigureAwait(false);
            }
        }

        IntroduceNext(cancellationToken);
    }

    private void Blame(TlsSessions.Waiting session, IntroductionResult result)
    {
        if (_keptOut.TryPass(RefusalReason.TlsHandshake, session.Relay.Peer ?? ""))
        {
            GuardLog.SessionKeptOut(_logger, _options.Name, session.Relay.Peer, result);
        }

        foreach ((_, var more, var last) in _keptOut.TakeLeftOut())
        {
            GuardLog.SessionsKeptOut(_logger, _options.Name, more, last);
        }

        _listener.CountRefused(RefusalReason.TlsHandshake);
        _sessions.Blame(session.Address);
    }

    private async ValueTask LetInAsync(TlsSessions.Waiting session, TlsIntroduced introduced, Channel qemu)
    {
        var isMain = _sessions.Count == 0;
        _sessions.LetIn(session.Relay, session.Address);
        _relays.JoinQemu(session.Relay, qemu, introduced.Bytes, tap: null, loss: isMain ? NewLossNotice(session.Relay) : null,
            next: introduced.Next);
        GuardLog.SessionLetIn(_logger, _options.Name, session.Relay.Peer, _sessions.Count);
        if (isMain)
        {
            _main = session.Relay;
            _host.IsPaused = false;
            Enter(State == GuardState.Paused ? GuardState.Recovering : GuardState.Relaying);
            _qemuPaused = NewSignal();
        }

        foreach (var surplus in _sessions.TakeSurplus())
        {
            Drop(surplus);
        }

        if (_sessions.IsComplete)
        {
            GuardLog.HandedOver(_logger, _options.Name);
        }

        if (session.Relay.Ending != RelayEnding.None)
        {
            await TakeSessionEndAsync(session.Relay).ConfigureAwait(false); // it ended before it was in: that event meant nothing yet
        }
    }

    private void Drop(ChannelRelay relay)
    {
        _relays.Abort(relay);
        RemoveView(relay);
    }

    private async ValueTask TakeSessionEndAsync(ChannelRelay relay)
    {
        if (relay == _introduced?.Relay)
        {
            return; // the introduction finds out what the end means
        }

        _sessions.Remove(relay);
        if (relay.Qemu is null)
        {
            RemoveView(relay);
        }

        if (relay != _main)
        {
            return;
        }

        if (_qemuStatus == "postcopy-paused" && State is GuardState.Postcopy or GuardState.Recovering)
        {
            await PauseSessionsAsync().ConfigureAwait(false);
        }
        else if (State is not (GuardState.Relaying or GuardState.Postcopy or GuardState.Recovering))
        {
            return;
        }
        else if (_monitor is null && relay.Ending != RelayEnding.Closed)
        {
            await FailAsync(Describe(relay)).ConfigureAwait(false);
        }
        else
        {
            await AwaitVerdictAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Handles a status of QEMU's migration; returns true when that was all there is to do.</summary>
    private async ValueTask<bool> TakeSessionStatusAsync(string status)
    {
        if (status == "postcopy-paused" && State is GuardState.Relaying or GuardState.Postcopy or GuardState.Recovering)
        {
            await PauseSessionsAsync().ConfigureAwait(false);
        }
        else if (status == "postcopy-active" && State == GuardState.Recovering)
        {
            EnterPostcopy();
        }
        else
        {
            return false;
        }

        return true;
    }

    private async ValueTask PauseSessionsAsync()
    {
        _awaitsVerdict = false;
        _main = null;
        _sessions.ExpectRecovery();
        await PauseAsync().ConfigureAwait(false);
        IntroduceNext(_ending.Token);
    }

    /// <summary>Drops the sessions that wait, because the migration is over and none gets its turn any more.</summary>
    private void DropWaiting()
    {
        while (_sessions.TakeNext() is { } waiting)
        {
            Drop(waiting.Relay);
        }
    }
}
