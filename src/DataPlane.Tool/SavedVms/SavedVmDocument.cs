using DataPlane.Tool.Output;

namespace DataPlane.Tool.SavedVms;

/// <summary>What the documents of <c>dataplane receive</c> and <c>dataplane send</c> say alike: a VM in a file, and how it moved.</summary>
internal abstract class SavedVmDocument(string schema) : CommandDocument(schema)
{
    /// <summary>Where the VM is saved; as the outcome of receive, once it is complete.</summary>
    public string? File { get; set; }

    /// <summary>With --postcopy: where the command could be asked.</summary>
    public string? Control { get; set; }

    /// <summary>Machine type of the VM.</summary>
    public string? Machine { get; set; }

    public Guid? Uuid { get; set; }

    /// <summary>What the guest does when it goes on: <c>running</c>, <c>paused</c> or another of QEMU's run states.</summary>
    public string? RunState { get; set; }

    /// <summary>Names and sizes as soon as they are known, hashes when everything has moved.</summary>
    public IReadOnlyList<BlockEntry> Blocks { get; set; } = [];

    public IReadOnlyList<ChannelEntry> Channels { get; set; } = [];

    public IReadOnlyList<PhaseEntry> Phases { get; set; } = [];

    public double? Seconds { get; set; }

    public long? TransferredBytes { get; set; }

    public long? NormalPages { get; set; }

    public long? ZeroPages { get; set; }

    public IReadOnlyList<DeviceEntry> Devices { get; set; } = [];
}

/// <summary>One RAM block; the hash is over its whole length, holes are zeros.</summary>
internal sealed record BlockEntry(string Name, long SizeBytes, string? Sha256);

internal sealed record ChannelEntry(string Kind, int Id, string Peer, long Bytes);

internal sealed record PhaseEntry(string Name, double Seconds);

internal sealed record DeviceEntry(string Name, long Instance, long Version, long SizeBytes);
