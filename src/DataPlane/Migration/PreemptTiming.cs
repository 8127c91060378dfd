namespace DataPlane.Migration;

/// <summary>
/// When the preempt channel is opened (specification, 4-postcopy section 4.7.2). QEMU 7.2 does not read main before it has the preempt
/// connection, and 8.x takes no preempt connection while it loads devices. Both need it right after main's header, and 7.2 waits for a
/// record that ends it. From 9.0 on both ways work. With multifd channels, which only 10.1 and later combine with postcopy, it must not
/// come before them.
/// </summary>
internal enum PreemptTiming
{
    /// <summary>The channel is opened right after main's header, and a record ends it.</summary>
    WithMain,

    /// <summary>The channel is opened when the destination has answered, before the guest stops, and ends without a record.</summary>
    AtSwitch,
}

/// <summary>Chooses the <see cref="PreemptTiming"/> of a migration.</summary>
internal static class PreemptTimings
{
    private static readonly Version s_takesBoth = new(9, 0);

    /// <param name="machine">The name of the destination's machine type.</param>
    /// <param name="peer">The version of the destination's QEMU, where it is known.</param>
    /// <param name="multifdChannels">The number of multifd channels of the migration.</param>
    public static PreemptTiming For(string machine, Version? peer, int multifdChannels) =>
        multifdChannels > 0 || PeerDialect.IsOwn(machine)
            || ((peer ?? PeerDialect.VersionOf(machine)) is { } version && version >= s_takesBoth)
            ? PreemptTiming.AtSwitch
            : PreemptTiming.WithMain;
}
