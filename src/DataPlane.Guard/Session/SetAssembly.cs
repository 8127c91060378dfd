using DataPlane.Guard.Relay;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// Holds channels until all of their migration are there. Before that nothing goes to QEMU: a source that gives up costs nothing then,
/// while a QEMU that has had one of its channels must be started again. No source waits for an answer before all of its channels are
/// connected. Only the session's loop uses it.
/// </summary>
internal sealed class SetAssembly(
    GuardedVmOptions options,
    HeldSet set,
    SetForwarding forwarding,
    GuardChannels channels,
    PublicListener listener,
    SessionEvents events,
    ILogger logger)
{
    public bool IsEmpty => set.Count == 0;

    /// <summary>Adds a channel, and hands the set to QEMU when it is complete.</summary>
    public async ValueTask HoldAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        var relay = channels.Hold(channel.Kind, channel.Id, channel.Channel);
        var isFirst = set.Add(relay, channel.Consumed);
        GuardLog.Held(logger, options.Name, relay.Name, channel.Peer);
        if (isFirst)
        {
            events.PostLater(new GuardEvent.HeldForLong(set.Number), options.UndecidedTimeout);
        }

        if (set.IsComplete)
        {
            await forwarding.ForwardAsync(set, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Gives up a set whose channels have not come for too long.</summary>
    public void Take(GuardEvent.HeldForLong held)
    {
        if (set.TimeLeft(held.Set) is not { } left)
        {
            return;
        }

        if (left > TimeSpan.Zero)
        {
            events.PostLater(held, left);
            return;
        }

        GiveUp(set.Relays.First(),
            $"{set.Count} of {set.Expected} channels came, and no other for {options.UndecidedTimeout.TotalSeconds:0.###} s");
    }

    /// <summary>Gives up the set if this channel, which has ended, is one of it. Returns whether it is.</summary>
    public bool GiveUpWith(ChannelRelay relay)
    {
        if (!set.Has(relay))
        {
            return false;
        }

        GiveUp(relay, $"{relay.Name} went before its migration was complete");
        return true;
    }

    /// <summary>Closes the channels of the set, which QEMU never knew of. The next set may come.</summary>
    public void StartAnew()
    {
        listener.StartAnew();
        foreach (var relay in set.Relays)
        {
            channels.Drop(relay);
        }

        set.Clear();
    }

    private void GiveUp(ChannelRelay culprit, string why)
    {
        listener.NoteFalseStart(culprit.Peer ?? "", why);
        StartAnew();
    }
}
