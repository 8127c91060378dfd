using DataPlane.Guard.Entrance;
using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;

namespace DataPlane.Guard.Session;

/// <summary>
/// The channels of a migration whose TLS ends in QEMU. Sessions are introduced one at a time, and the monitor tells where the migration
/// stands, because the return path cannot be read. Only the session's loop uses it.
/// </summary>
internal sealed class TlsChannels(
    bool hasMonitor,
    SessionState state,
    CurrentLink current,
    GuardAdmissionHost host,
    QemuStatuses statuses,
    GuardChannels channels,
    TlsQueue queue,
    LossTiming loss,
    PostcopyTurns postcopy,
    MigrationOutcome outcome) : IMigrationChannels
{
    private int _lastSession;

    public bool IsIdle => queue.IsIdle;

    public ValueTask<bool> AdmitAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        var address = channel.PeerGroup;
        // A source often notices the loss of its link before QEMU does; its recovery waits until QEMU has noticed too.
        var mayCome = queue.MayCome(address) || (state.Current == GuardState.Postcopy && queue.IsOwn(address));
        if (state.IsOver || !mayCome)
        {
            return ValueTask.FromResult(false);
        }

        var relay = channels.Hold(ChannelKind.Tls, _lastSession++, channel.Channel);
        queue.Add(new TlsSessions.Waiting(relay, channel.Consumed, address));
        IntroduceNext();
        return ValueTask.FromResult(true);
    }

    /// <summary>Gives up nothing but the connection: no other session depends on it.</summary>
    public ValueTask GiveUpAsync() => ValueTask.CompletedTask;

    public ValueTask TakeAsync(GuardEvent own) =>
        own is GuardEvent.Introduced introduced ? TakeIntroducedAsync(introduced.Session) : ValueTask.CompletedTask;

    public async ValueTask TakeEndAsync(ChannelRelay relay)
    {
        if (!queue.Forget(relay) || !current.IsMain(relay) || !state.IsUnderWay)
        {
            return;
        }

        if (statuses.Latest == QemuStatuses.Paused && state.Current is GuardState.Postcopy or GuardState.Recovering)
        {
            await PauseAsync().ConfigureAwait(false);
        }
        else if (!hasMonitor && relay.Ending != RelayEnding.Closed)
        {
            await outcome.FailAsync(MigrationOutcome.Describe(relay)).ConfigureAwait(false);
        }
        else
        {
            await outcome.AwaitVerdictAsync().ConfigureAwait(false);
        }
    }

    public async ValueTask<bool> TakeStatusAsync(string status)
    {
        if (status == QemuStatuses.Paused && state.IsUnderWay)
        {
            await PauseAsync().ConfigureAwait(false);
        }
        else if (status == "postcopy-active" && state.Current == GuardState.Recovering)
        {
            postcopy.Begin();
        }
        else
        {
            return false;
        }

        return true;
    }

    public void DropWaiting() => queue.DropWaiting();

    private void IntroduceNext()
    {
        // In postcopy QEMU has all it needs, so a session that comes then waits for a pause. One that comes while main is being lost waits
        // too: QEMU would take it for the preempt channel of that link.
        if (current.Link is not { Main.IsLosing: true } && state.Current != GuardState.Postcopy && !state.IsOver)
        {
            queue.IntroduceNext();
        }
    }

    private async ValueTask TakeIntroducedAsync(TlsIntroduced introduced)
    {
        var session = queue.EndIntroduction();
        if (state.IsOver)
        {
            introduced.Drop();
            queue.KeepOut(session, IntroductionResult.NotServed);
            return;
        }

        if (introduced.Result == IntroductionResult.LetIn)
        {
            await LetInAsync(session, introduced).ConfigureAwait(false);
        }
        else
        {
            queue.KeepOut(session, introduced.Result);
            if (introduced.Error is { } error)
            {
                await outcome.FailAsync(error).ConfigureAwait(false);
            }
        }

        IntroduceNext();
    }

    private async ValueTask LetInAsync(TlsSessions.Waiting session, TlsIntroduced introduced)
    {
        if (queue.IsEmpty)
        {
            BeginLink(session, introduced);
        }
        else
        {
            queue.LetIn(session, introduced, watch: null);
        }

        queue.DropSurplus();
        if (session.Relay.Ending != RelayEnding.None)
        {
            await TakeEndAsync(session.Relay).ConfigureAwait(false); // it ended before it was in: that event meant nothing yet
        }
    }

    /// <summary>Begins a link with its main channel, which is the first session that QEMU lets in.</summary>
    private void BeginLink(TlsSessions.Waiting main, TlsIntroduced introduced)
    {
        var link = new GuardedLink(main.Relay, tap: null, end: null);
        queue.LetIn(main, introduced, new RelayWatch(null, null, loss.NoticeFor(link)));
        current.Link = link;
        host.IsPaused = false;
        state.Enter(state.Current == GuardState.Paused ? GuardState.Recovering : GuardState.Relaying);
        statuses.BeginLink();
    }

    private async ValueTask PauseAsync()
    {
        outcome.ForgetVerdict();
        current.Link = null;
        queue.ExpectRecovery();
        await postcopy.PauseAsync().ConfigureAwait(false);
        IntroduceNext();
    }
}
