using System.Text.Json.Serialization;

namespace DataPlane.Tool.Bench;

/// <summary>The two simplest ways to distribute memory over connections. The faster one on a machine is its wire limit.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<WireVariant>))]
internal enum WireVariant
{
    /// <summary>Each connection carries one fixed, contiguous part: 16 bytes of range, then nothing but memory.</summary>
    [JsonStringEnumMemberName("partition")]
    Partition,

    /// <summary>Each connection takes the next chunk when it is free: 8 bytes of offset before each chunk.</summary>
    [JsonStringEnumMemberName("cursor")]
    Cursor,
}

internal static class WireVariants
{
    public const string PartitionLeg = "wire-partition";
    public const string CursorLeg = "wire-cursor";

    public static string LegName(this WireVariant variant) => variant == WireVariant.Partition ? PartitionLeg : CursorLeg;
}
