namespace DataPlane.Postcopy;

/// <summary>
/// When the preempt channel is opened (specification, 4-postcopy section 4.7.2). <see cref="Wire.QemuCompatibility.TakesPreemptAtSwitch"/>
/// decides it. QEMU 7.2 and 8.x need it right after main's header, and 7.2 waits for a record that ends it. From 9.0 on both ways work.
/// </summary>
internal enum PreemptTiming
{
    /// <summary>The channel is opened right after main's header, and a record ends it.</summary>
    WithMain,

    /// <summary>The channel is opened when the destination has answered, before the guest stops, and ends without a record.</summary>
    AtSwitch,
}
