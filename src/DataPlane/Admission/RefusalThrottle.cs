namespace DataPlane.Admission;

/// <summary>
/// Decides which refusals are logged one by one: for each reason the first <see cref="Burst"/> within a <see cref="Window"/>. The others
/// are counted, and their number is logged when the window is over. Strangers decide how many refusals there are, and must not decide how
/// much is written. Not thread-safe.
/// </summary>
internal sealed class RefusalThrottle(TimeProvider time)
{
    public const int Burst = 8;

    public static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    private readonly Dictionary<RefusalReason, Slot> _slots = [];

    /// <summary>
    /// The time at which <see cref="TakeLeftOut"/> has something to return, as a timestamp of the clock; <see cref="long.MaxValue"/> if it
    /// has nothing.
    /// </summary>
    public long Due { get; private set; } = long.MaxValue;

    /// <summary>Whether this refusal is logged; otherwise it is counted.</summary>
    public bool TryPass(RefusalReason reason, string peer)
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

    /// <summary>Takes the counts of the windows that are over, or of all windows if <paramref name="all"/> is set.</summary>
    public List<(RefusalReason Reason, long Count, string LastPeer)> TakeLeftOut(bool all = false)
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
        public long Until { get; set; } = long.MinValue;

        public int Passed { get; set; }

        public long LeftOut { get; set; }

        public string LastPeer { get; set; } = "";
    }
}
