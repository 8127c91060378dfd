namespace DataPlane.Guard.Order;

/// <summary>The QEMU behind the guard, and what it expects.</summary>
internal sealed record QemuTarget
{
    /// <summary>The address on which QEMU listens.</summary>
    public required ChannelAddress Address { get; init; }

    /// <summary>The place of QEMU's Unix socket; null without a monitor, and for TCP. The owner of the target disposes of it.</summary>
    public SocketPlace? Place { get; init; }

    /// <summary>
    /// Whether this guard, and none before it, had QEMU listen there: what is left of the socket is the guard's to remove then.
    /// </summary>
    public bool IsToldByUs { get; init; }

    /// <summary>QEMU's version; null without a monitor.</summary>
    public Version? Version { get; init; }

    /// <summary>The number of multifd channels; 0 for none.</summary>
    public int Channels { get; init; }

    public bool Postcopy { get; init; }

    public bool Preempt { get; init; }

    /// <summary>The UUID of the VM, which every multifd channel carries; null when it is not known.</summary>
    public Guid? Uuid { get; init; }

    /// <summary>Whether all channels are TLS sessions that end in QEMU.</summary>
    public bool Tls { get; init; }

    public static QemuTarget From(GuardedVmOptions options, ChannelAddress address) => new()
    {
        Address = address,
        Channels = options.MultifdChannels,
        Postcopy = options.Preempt,
        Preempt = options.Preempt,
        Uuid = options.Uuid,
        Tls = options.TlsPassThrough,
    };
}
