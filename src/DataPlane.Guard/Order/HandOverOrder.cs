using DataPlane.Admission;

namespace DataPlane.Guard.Order;

/// <summary>One connection to QEMU, in the order in which they are made.</summary>
/// <param name="Kind">Which channel.</param>
/// <param name="Id">Number of a multifd channel, else 0.</param>
internal readonly record struct HandOverStep(ChannelKind Kind, int Id);

/// <summary>
/// The order in which channels go to QEMU. QEMU identifies each connection completely before it accepts the next, in the order in which
/// they were made, so one order is right for every version; what differs is why.
/// <code>
/// QEMU         first connection   then with multifd           without multifd          preempt, earliest      is it needed to start
/// 7.2          main, unseen       each is multifd, unseen     each is preempt          after main             yes: main is not read before
/// 8.0 - 10.0   magic (multifd,    magic: main, else multifd   each is preempt          after main             no
///              no postcopy), else main, unseen
/// 10.1 - 11.1  magic              magic                       all that is left         after main's magic     no
///                                                             is preempt               and every init packet
/// </code>
/// </summary>
internal static class HandOverOrder
{
    private static readonly Version s_preemptWithoutEnd = new(8, 0);
    private static readonly Version s_postcopyBesideMultifd = new(10, 1);

    /// <summary>All connections of a migration, or of its recovery, in which multifd is not opened again.</summary>
    internal static IEnumerable<HandOverStep> Steps(QemuTarget target, bool recovery)
    {
        yield return new HandOverStep(ChannelKind.Main, 0);
        for (var id = 0; id < target.Channels && !recovery; id++)
        {
            yield return new HandOverStep(ChannelKind.Multifd, id);
        }
        // The guard opens it itself, without waiting for a client: QEMU needs the connection to exist, not to speak.
        if (target.Preempt)
        {
            yield return new HandOverStep(ChannelKind.Preempt, 0);
        }
    }

    /// <summary>
    /// Whether QEMU ends a migration only when its preempt channel has said its end. The others must not be told it: a stranger may have.
    /// </summary>
    internal static bool NeedsPreemptEnd(QemuTarget target) => target.Version is not { } version || version < s_preemptWithoutEnd;

    /// <summary>Why a guard cannot serve this QEMU with these settings; null when it can.</summary>
    internal static string? WhyNot(QemuTarget target)
    {
        return target is { Postcopy: true, Channels: > 0, Version: { } version } && version < s_postcopyBesideMultifd
            ? $"QEMU {version} cannot do postcopy beside multifd: the guest would be lost at the end; switch one of them off on both sides"
            : null;
    }
}
