using DataPlane.Admission;

namespace DataPlane.Guard;

/// <summary>What becomes of a channel on its way to QEMU.</summary>
public enum GuardChannelState
{
    /// <summary>It has proved itself and waits for the others of its migration.</summary>
    Held,

    /// <summary>Bytes are relayed.</summary>
    Open,

    /// <summary>One side has finished its direction; the other still may send.</summary>
    HalfClosed,

    /// <summary>Both directions are over.</summary>
    Closed,
}

/// <summary>One channel of a guarded migration, at the moment of the snapshot.</summary>
public sealed record GuardChannel
{
    /// <summary>What the channel is for.</summary>
    public required ChannelKind Kind { get; init; }

    /// <summary>Number of a multifd channel, else 0.</summary>
    public required int Id { get; init; }

    /// <summary>
    /// The client's address and port; <see langword="null"/> for a preempt channel that is open to QEMU and has not met its client.
    /// </summary>
    public required string? Peer { get; init; }

    /// <summary>Bytes from the client that QEMU's socket has taken.</summary>
    public required long BytesIn { get; init; }

    /// <summary>Bytes from QEMU that the client's socket has taken.</summary>
    public required long BytesOut { get; init; }

    /// <summary>Bytes per second in both directions together, since the snapshot before this one; 0 in the first.</summary>
    public required double BytesPerSecond { get; init; }

    /// <summary>What becomes of it.</summary>
    public required GuardChannelState State { get; init; }
}
