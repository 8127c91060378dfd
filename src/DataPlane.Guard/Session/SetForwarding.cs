using DataPlane.Guard.Entrance;
using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>Hands a complete set of channels to QEMU, in the order that no version misreads. Only the session's loop uses it.</summary>
/// <param name="name">The name of the VM.</param>
/// <param name="target">What QEMU expects.</param>
/// <param name="state">Where the migration stands.</param>
/// <param name="host">What admission must know of it.</param>
/// <param name="listener">The public listeners.</param>
/// <param name="links">Opens the link.</param>
/// <param name="entrance">The way to QEMU.</param>
/// <param name="outcome">Ends the migration when that fails.</param>
/// <param name="forwarded">Called when QEMU has all channels.</param>
/// <param name="logger">The log.</param>
internal sealed class SetForwarding(
    string name,
    QemuTarget target,
    SessionState state,
    GuardAdmissionHost host,
    PublicListener listener,
    LinkOpener links,
    IQemuEntrance entrance,
    MigrationOutcome outcome,
    Action forwarded,
    ILogger logger)
{
    /// <summary>Hands the channels over and empties the set, unless one of them has ended: the event of that end is on its way.</summary>
    public async ValueTask ForwardAsync(HeldSet set, CancellationToken cancellationToken)
    {
        foreach (var relay in set.Relays)
        {
            relay.Claim();
        }

        if (set.Relays.Any(static relay => relay.Ending != RelayEnding.None))
        {
            return; // the event of that end leads to the next attempt
        }

        state.Enter(GuardState.Relaying);
        host.MainIsSettled = true; // QEMU will never take another main channel
        listener.Recheck();
        try
        {
            await ForwardEachAsync(set, cancellationToken).ConfigureAwait(false);
            GuardLog.HandedOver(logger, name);
            forwarded();
        }
        // QEMU may have had one of the channels: no other source can come to it now, whatever the cause was.
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            await outcome.FailAsync(e is ChannelException { Channel: var channel } ? $"{channel}: {e.Message}"
                : $"the channels cannot be handed to QEMU: {e.Message}").ConfigureAwait(false);
        }

        set.Clear();
    }

    private async ValueTask ForwardEachAsync(HeldSet set, CancellationToken cancellationToken)
    {
        var link = links.Begin(set.Main.Relay, out var watch);
        foreach (var step in ForwardingOrder.Steps(target, recovery: false))
        {
            if (step.Kind == ChannelKind.Preempt)
            {
                await links.OpenPreemptAsync(link, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                (var relay, var opening) = set[step];
                await entrance.EnterAsync(relay, opening, step.Kind == ChannelKind.Main ? watch : null, isRecovery: false,
                    cancellationToken).ConfigureAwait(false);
            }
        }
    }
}
