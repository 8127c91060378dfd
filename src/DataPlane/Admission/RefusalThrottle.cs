namespace DataPlane.Admission;

/// <summary>
/// How many refusals are told one by one: of each reason the first <see cref="Burst"/> of a <see cref="Window"/>, and the number of the
/// others when it is over. Strangers decide how many there are, and must not decide how much is written. Not thread-safe.
/// </summary>
internal sealed class RefusalThrottle(TimeProvider time)
{
    internal const int Burst = 8;

    internal static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    private readonly Dictionary<RefusalReason, Slot> _slots = [];

    /// <summary>Timestamp of the clock at which <see cref="TakeLeftOut"/> has something; <see cref="long.MaxValue"/>: never.</summary>
    internal long Due { get; private set; } = long.MaxValue;

    /// <summary>Whether this one is told.</summary>
    internal bool TryPass(RefusalReason reason, string peer)
    {
        var now = time.GetTimestamp();
        if (!_slots.TryGetValue(reason, out var slot))
        {
            _slots.Add(reason, slot = new Slot());
        }

        if (slot.LeftOut == 0 && now >= slot.Until)
        {
            slot.Until = now + (long)(Window.TotalSeconds * time.TimestampFrequency);
            slot.Passed = 0;
        }

        if (slot.Passed < Burst)
        {
            slot.Passed++;
            return true;
        }

        slot.LeftOut++;
        slot.LastPeer = peer;
        Due = Math.Min(Due, slot.Until);
        return false;
    }

    /// <summary>What was left out in windows that are over, or in all.</summary>
    internal List<(RefusalReason Reason, long Count, string LastPeer)> TakeLeftOut(bool all = false)
    {
        List<(RefusalReason, long, string)> taken = [];
        if (!all && Due > time.GetTimestamp())
        {
            return taken;
        }

        var now = time.GetTimestamp();
        Due = long.MaxValue;
        foreach ((var reason, var slot) in _slots)
        {
            if (slot.LeftOut == 0)
            {
                continue;
            }

            if (!all && slot.Until > now)
            {
                Due = Math.Min(Due, slot.Until);
                continue;
            }

            taken.Add((reason, slot.LeftOut, slot.LastPeer));
            slot.LeftOut = 0;
        }

        return taken;
    }

    private sealed class Slot
    {
        internal long Until { get; set; } = long.MinValue;

        internal int Passed { get; set; }

        internal long LeftOut { get; set; }

        internal string LastPeer { get; set; } = "";
    }
}
