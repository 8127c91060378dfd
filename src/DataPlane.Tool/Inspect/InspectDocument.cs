using DataPlane.Tool.Output;

namespace DataPlane.Tool.Inspect;

/// <summary>The JSON document of <c>dataplane inspect</c>.</summary>
internal sealed class InspectDocument() : CommandDocument("dataplane.inspect/1")
{
    public string? File { get; set; }

    public long? FileBytes { get; set; }

    public string? Machine { get; set; }

    /// <summary>The UUID of the VM; null where the file has none.</summary>
    public Guid? Uuid { get; set; }

    public string? RunState { get; set; }

    /// <summary>The length of all RAM blocks together, in bytes.</summary>
    public long? RamBytes { get; set; }

    public long? DataPages { get; set; }

    public long? ZeroPages { get; set; }

    public IReadOnlyList<InspectedBlock> Blocks { get; set; } = [];

    public IReadOnlyList<InspectedDevice> Devices { get; set; } = [];
}

/// <summary>One RAM block. Pages without data are zero and take no space.</summary>
internal sealed record InspectedBlock(string Name, long SizeBytes, long DataPages, long ZeroPages, double ZeroShare);

/// <summary>One device section, with what the VM description tells about its contents.</summary>
internal sealed record InspectedDevice(string Name, long Instance, long Version, long SizeBytes, DescribedStruct? State);

/// <summary>One vmstate: its fields in the order of their bytes, and the subsections that were there.</summary>
internal sealed record DescribedStruct(string? Name, long? Version, IReadOnlyList<DescribedField> Fields,
    IReadOnlyList<DescribedStruct>? Subsections);

/// <summary>One field of a vmstate.</summary>
/// <param name="Name">The name of the field in QEMU's source.</param>
/// <param name="Type">QEMU's name of the field's type.</param>
/// <param name="SizeBytes">Bytes of one element.</param>
/// <param name="Count">Number of elements of an array.</param>
/// <param name="Index">Number of this element, where the elements of an array are listed one by one.</param>
/// <param name="State">The fields within one element of the field.</param>
internal sealed record DescribedField(string Name, string? Type, long SizeBytes, long? Count, long? Index, DescribedStruct? State);
