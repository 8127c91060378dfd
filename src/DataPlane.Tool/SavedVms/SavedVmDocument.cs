using DataPlane.Tool.Output;

namespace DataPlane.Tool.SavedVms;

/// <summary>
/// The common keys of the documents of <c>dataplane receive</c> and <c>dataplane send</c>: a VM in a file, and how it moved.
/// </summary>
internal abstract class SavedVmDocument(string schema) : CommandDocument(schema)
{
    /// <summary>The path of the saved VM; in the document of <c>receive</c> only once the VM is complete.</summary>
    public string? File { get; set; }

    /// <summary>The path of the control socket; null without --postcopy.</summary>
    public string? Control { get; set; }

    /// <summary>Machine type of the VM.</summary>
    public string? Machine { get; set; }

    public Guid? Uuid { get; set; }

    /// <summary>What the guest does when it goes on: <c>running</c>, <c>paused</c> or another of QEMU's run states.</summary>
    public string? RunState { get; set; }

    /// <summary>The RAM blocks: names and sizes as soon as they are known, hashes when everything has moved.</summary>
    public IReadOnlyList<BlockEntry> Blocks { get; set; } = [];

    public IReadOnlyList<ChannelEntry> Channels { get; set; } = [];

    public IReadOnlyList<PhaseEntry> Phases { get; set; } = [];

    public double? Seconds { get; set; }

    public long? TransferredBytes { get; set; }

    public long? NormalPages { get; set; }

    public long? ZeroPages { get; set; }

    public IReadOnlyList<DeviceEntry> Devices { get; set; } = [];
}

/// <summary>One RAM block. The hash covers its whole length, with zeros for the holes.</summary>
internal sealed record BlockEntry(string Name, long SizeBytes, string? Sha256);

internal sealed record ChannelEntry(string Kind, int Id, string Peer, long Bytes);

internal sealed record PhaseEntry(string Name, double Seconds);

internal sealed record DeviceEntry(string Name, long Instance, long Version, long SizeBytes);
