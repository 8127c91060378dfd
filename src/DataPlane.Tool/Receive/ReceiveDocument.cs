using DataPlane.Tool.Output;

namespace DataPlane.Tool.Receive;

/// <summary>The JSON document of <c>dataplane receive</c>.</summary>
internal sealed class ReceiveDocument() : CommandDocument("dataplane.receive/1")
{
    /// <summary>Where the source could connect.</summary>
    public string? Listen { get; set; }

    /// <summary>With --postcopy: where it could be asked.</summary>
    public string? Control { get; set; }

    /// <summary>The file, once it is complete.</summary>
    public string? File { get; set; }

    /// <summary>Machine type of the VM.</summary>
    public string? Machine { get; set; }

    public Guid? Uuid { get; set; }

    /// <summary>What the guest does when the file is loaded: <c>running</c>, <c>paused</c> or another of QEMU's run states.</summary>
    public string? RunState { get; set; }

    public IReadOnlyList<BlockEntry> Blocks { get; set; } = [];

    public IReadOnlyList<ChannelEntry> Channels { get; set; } = [];

    public IReadOnlyList<PhaseEntry> Phases { get; set; } = [];

    public double? Seconds { get; set; }

    public long? TransferredBytes { get; set; }

    public long? NormalPages { get; set; }

    public long? ZeroPages { get; set; }

    /// <summary>When the source switched to postcopy.</summary>
    public ReceivedPostcopyEntry? Postcopy { get; set; }

    public IReadOnlyList<DeviceEntry> Devices { get; set; } = [];

    /// <summary>Connections turned away, by reason.</summary>
    public IReadOnlyDictionary<string, long>? Refused { get; set; }
}

/// <summary>One RAM block; the hash is over its whole length, holes are zeros.</summary>
internal sealed record BlockEntry(string Name, long SizeBytes, string? Sha256);

/// <summary>What was fetched after the switch.</summary>
internal sealed record ReceivedPostcopyEntry(long PackageBytes, long Requests, long RequestedPages, int Recoveries);

internal sealed record ChannelEntry(string Kind, int Id, string Peer, long Bytes);

internal sealed record PhaseEntry(string Name, double Seconds);

internal sealed record DeviceEntry(string Name, long Instance, long Version, long SizeBytes);
