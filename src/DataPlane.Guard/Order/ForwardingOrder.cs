using DataPlane.Wire;

namespace DataPlane.Guard.Order;

/// <summary>One connection to QEMU: a step of the order in which channels are forwarded.</summary>
/// <param name="Kind">The kind of the channel.</param>
/// <param name="Id">The number of a multifd channel; 0 for other kinds.</param>
internal readonly record struct ForwardingStep(ChannelKind Kind, int Id);

/// <summary>
/// The order in which channels go to QEMU. QEMU identifies each connection completely before it accepts the next, in the order in which
/// they were made. So one order is right for every version, and only the reasons for it differ.
/// <code>
/// QEMU         first connection   then with multifd           without multifd          preempt, earliest      is it needed to start
/// 7.2          main, unseen       each is multifd, unseen     each is preempt          after main             yes: main is not read before
/// 8.0 - 10.0   magic (multifd,    magic: main, else multifd   each is preempt          after main             no
///              no postcopy), else main, unseen
/// 10.1 - 11.1  magic              magic                       all that is left         after main's magic     no
///                                                             is preempt               and every init packet
/// </code>
/// </summary>
internal static class ForwardingOrder
{
    /// <summary>Returns all connections of a migration, or of its recovery, in which multifd channels are not opened again.</summary>
    public static IEnumerable<ForwardingStep> Steps(QemuTarget target, bool recovery)
    {
        yield return new ForwardingStep(ChannelKind.Main, 0);
        for (var id = 0; id < target.Channels && !recovery; id++)
        {
            yield return new ForwardingStep(ChannelKind.Multifd, id);
        }
        // The guard opens this channel itself, without waiting for a client: QEMU needs the connection, but no bytes on it.
        if (target.Preempt)
        {
            yield return new ForwardingStep(ChannelKind.Preempt, 0);
        }
    }

    /// <summary>
    /// Whether QEMU ends a migration only after the end of its preempt channel. Other versions must not be sent that end, because it may
    /// come from a stranger.
    /// </summary>
    public static bool NeedsPreemptEnd(QemuTarget target) => KnownOf(target).NeedsPreemptEnd;

    /// <summary>Returns why a guard cannot serve this QEMU with these settings; null when it can.</summary>
    public static string? WhyNot(QemuTarget target)
    {
        return target is { Postcopy: true, Channels: > 0 } && !KnownOf(target).TakesPostcopyBesideMultifd
            ? $"QEMU {target.Version} cannot do postcopy beside multifd: the guest would be lost at the end; "
                + "switch one of them off on both sides"
            : null;
    }

    /// <summary>What the version tells; the machine type decides nothing here, and the guard does not ask for it.</summary>
    private static QemuCompatibility KnownOf(QemuTarget target) => QemuCompatibility.Of(machine: null, target.Version);
}
