using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>The last element of a precopy stream: <c>06 | u32 n</c>, then n bytes of JSON for <see cref="VmDescription"/>.</summary>
internal readonly struct VmDescriptionHeader
{
    public const int Size = 5;

    private VmDescriptionHeader(int length) => Length = length;

    public int Length { get; }

    public static void Write(Span<byte> destination, int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, WireLimits.MaxVmDescriptionBytes);
        destination[0] = (byte)SectionType.VmDescription;
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], (uint)length);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out VmDescriptionHeader header, out string? error)
    {
        header = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"the head of a VM description has {Size} bytes, not {source.Length}";
        }
        else if (source[0] != (byte)SectionType.VmDescription)
        {
            error = $"byte {source[0]:X2} instead of a VM description (06)";
        }
        else if (BinaryPrimitives.ReadUInt32BigEndian(source[1..]) is var length && length is 0 or > WireLimits.MaxVmDescriptionBytes)
        {
            error = $"the VM description has {length} bytes, allowed are 1 to {WireLimits.MaxVmDescriptionBytes}";
        }
        else
        {
            header = new VmDescriptionHeader((int)length);
        }

        return error is null;
    }
}
