using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// The first bytes of a main channel (specification, 2-main-stream section 1.2).
/// <code>
/// 0  4  magic "QEVM"
/// 4  4  version 3
/// </code>
/// </summary>
internal static class StreamHeader
{
    public const uint MagicNumber = 0x5145564D;
    public const uint Version = 3;
    public const int Size = 8;

    public static void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, MagicNumber);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Version);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out string? error)
    {
        error = null;
        if (source.Length < Size)
        {
            error = $"the stream header has {Size} bytes, not {source.Length}";
        }
        else if (BinaryPrimitives.ReadUInt32BigEndian(source) is var magic && magic != MagicNumber)
        {
            error = $"not a migration stream: magic {magic:X8}, expected {MagicNumber:X8}";
        }
        else if (BinaryPrimitives.ReadUInt32BigEndian(source[4..]) is var version && version != Version)
        {
            error = $"migration stream version {version} is not supported, only {Version}";
        }

        return error is null;
    }
}
