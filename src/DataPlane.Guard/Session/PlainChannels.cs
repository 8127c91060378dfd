using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Session;

/// <summary>The channels of a migration whose bytes the guard can read. Only the session's loop uses it.</summary>
internal sealed class PlainChannels(
    SessionState state,
    CurrentLink current,
    PublicListener listener,
    SetAssembly assembly,
    PreemptJoin preempt,
    PlainRecovery recovery,
    PostcopyTurns postcopy,
    MigrationOutcome outcome) : IMigrationChannels
{
    public bool IsIdle => assembly.IsEmpty;

    public async ValueTask<bool> AdmitAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        if (channel.Epoch != listener.Epoch)
        {
            channel.Dispose(); // it belongs to a set that was given up
        }
        else if (channel.Kind == ChannelKind.Preempt)
        {
            return preempt.TryJoin(channel);
        }
        else if (channel.Recovered && state.Current == GuardState.Paused)
        {
            await recovery.RecoverAsync(channel, cancellationToken).ConfigureAwait(false);
        }
        else if (!channel.Recovered && state.Current == GuardState.Waiting)
        {
            await assembly.HoldAsync(channel, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            return false;
        }

        return true;
    }

    /// <summary>
    /// The attempt that met the fault is over, and the next one may come. Where the migration is under way already, only one connection is
    /// lost.
    /// </summary>
    public async ValueTask GiveUpAsync()
    {
        if (state.Current == GuardState.Waiting)
        {
            assembly.StartAnew();
        }
        else if (state.Current is GuardState.Paused or GuardState.Recovering)
        {
            await recovery.GiveUpAsync().ConfigureAwait(false);
        }
    }

    public ValueTask TakeAsync(GuardEvent own)
    {
        if (own is GuardEvent.HeldForLong held)
        {
            assembly.Take(held);
        }

        return ValueTask.CompletedTask;
    }

    public async ValueTask TakeEndAsync(ChannelRelay relay)
    {
        if (assembly.GiveUpWith(relay) || !state.IsUnderWay || current.Link is not { } link || link.Main != relay)
        {
            return;
        }

        if (link.Shut is { } reason and not 0)
        {
            await outcome.FailAsync($"QEMU gave the migration up (SHUT {reason})").ConfigureAwait(false);
        }
        else if (state.Current is GuardState.Postcopy or GuardState.Recovering)
        {
            await postcopy.PauseAsync().ConfigureAwait(false);
        }
        else if (relay is { Ending: RelayEnding.Closed, QemuBytes: 0 })
        {
            await outcome.AwaitVerdictAsync().ConfigureAwait(false);
        }
        else
        {
            await outcome.FailAsync(MigrationOutcome.Describe(relay)).ConfigureAwait(false);
        }
    }

    public ValueTask<bool> TakeStatusAsync(string status) => ValueTask.FromResult(false);

    public void DropWaiting()
    {
        // A set that waits has not begun a migration, so none is over.
    }
}
