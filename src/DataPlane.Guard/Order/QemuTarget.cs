using DataPlane.Transport;

namespace DataPlane.Guard.Order;

/// <summary>What the QEMU behind the guard is, and what it expects.</summary>
internal sealed record QemuTarget
{
    /// <summary>Where it listens.</summary>
    internal required ChannelAddress Address { get; init; }

    /// <summary>The place of its Unix socket, where the guard knows it by its monitor; whoever has the target disposes of it.</summary>
    internal SocketPlace? Place { get; init; }

    /// <summary>This guard, and nobody before it, had QEMU listen there: what is left of the socket is the guard's to remove.</summary>
    internal bool IsToldByUs { get; init; }

    /// <summary>Its version; null where nobody has said it.</summary>
    internal Version? Version { get; init; }

    /// <summary>Multifd channels, 0 for none.</summary>
    internal int Channels { get; init; }

    internal bool Postcopy { get; init; }

    internal bool Preempt { get; init; }

    /// <summary>Every multifd channel carries it; null where nobody has said it.</summary>
    internal Guid? Uuid { get; init; }

    /// <summary>All channels are TLS sessions that end in QEMU.</summary>
    internal bool Tls { get; init; }

    internal static QemuTarget From(GuardedVmOptions options, ChannelAddress address) => new()
    {
        Address = address,
        Channels = options.Channels,
        Postcopy = options.Preempt,
        Preempt = options.Preempt,
        Uuid = options.Uuid,
        Tls = options.TlsPassThrough,
    };
}
