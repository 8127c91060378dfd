namespace DataPlane.Guard;

/// <summary>The state of a channel between its client and QEMU.</summary>
public enum GuardChannelState
{
    /// <summary>
    /// The channel waits for the other channels of its migration, or a preempt channel that is open to QEMU waits for its client.
    /// </summary>
    Held,

    /// <summary>Both ends are connected, and bytes are relayed.</summary>
    Open,

    /// <summary>One side has finished its direction; the other may still send.</summary>
    HalfClosed,

    /// <summary>Both directions are over, and the sockets are closed.</summary>
    Closed,
}

/// <summary>One channel of a guarded migration, as it was at the moment of the snapshot.</summary>
public sealed record GuardChannel
{
    /// <summary>The kind of the channel.</summary>
    public required ChannelKind Kind { get; init; }

    /// <summary>The number of a multifd channel, or of a TLS session in the order of arrival; 0 for other kinds.</summary>
    public required int Id { get; init; }

    /// <summary>
    /// The client's address and port; <see langword="null"/> for a preempt channel that is open to QEMU and has no client yet.
    /// </summary>
    public required string? Peer { get; init; }

    /// <summary>Bytes from the client that QEMU's socket has taken.</summary>
    public required long BytesIn { get; init; }

    /// <summary>Bytes from QEMU that the client's socket has taken.</summary>
    public required long BytesOut { get; init; }

    /// <summary>Bytes per second in both directions together since the previous snapshot; 0 in the first snapshot of the channel.</summary>
    public required double BytesPerSecond { get; init; }

    /// <summary>The state of the channel.</summary>
    public required GuardChannelState State { get; init; }
}
