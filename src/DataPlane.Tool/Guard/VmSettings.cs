using System.Net;

namespace DataPlane.Tool.Guard;

/// <summary>One VM to guard, as the command line or a section of the config file describes it.</summary>
internal sealed record VmSettings
{
    public required string Name { get; init; }

    public required ChannelAddress Listen { get; init; }

    /// <summary>QEMU's monitor, which tells the rest; null when <see cref="To"/> is given.</summary>
    public ChannelAddress? Qmp { get; init; }

    /// <summary>The address at which QEMU is told to listen; null leaves the choice to the guard.</summary>
    public ChannelAddress? Incoming { get; init; }

    /// <summary>QEMU's own listener, for a VM without a monitor; null when <see cref="Qmp"/> is given.</summary>
    public ChannelAddress? To { get; init; }

    public int Channels { get; init; }

    public bool Preempt { get; init; }

    public Guid? Uuid { get; init; }

    public required int MaxUndecided { get; init; }

    public required int MaxUndecidedPerPeer { get; init; }

    public required TimeSpan UndecidedTimeout { get; init; }

    /// <summary>Networks that may connect; empty allows all.</summary>
    public required IReadOnlyList<IPNetwork> Allow { get; init; }

    public bool AnyPeer { get; init; }

    public required VmTls Tls { get; init; }

    /// <summary>
    /// Whether two settings ask for the same. The record's own equality does not tell, because lists are compared by reference.
    /// </summary>
    public bool IsSameAs(VmSettings other) => this with { Allow = other.Allow } == other && Allow.SequenceEqual(other.Allow);
}
