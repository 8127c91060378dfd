using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// The first bytes of a multifd channel, which are sent once (specification, 3-multifd section 1).
/// <code>
///  0   4  magic 11223344
///  4   4  version 1
///  8  16  UUID of the VM in text order, zeros if it has none
/// 24   1  channel id
/// 25  39  unused, 0, not checked
/// </code>
/// </summary>
/// <param name="Uuid">UUID of the VM; <see cref="Guid.Empty"/> if it has none.</param>
/// <param name="Id">Channel number, 0 to N-1; the limit is known only to the receiver.</param>
internal readonly record struct MultifdInit(Guid Uuid, byte Id)
{
    public const int Size = 64;

    private const int UuidOffset = 8;
    private const int UuidSize = 16;
    private const int IdOffset = UuidOffset + UuidSize;

    public void Write(Span<byte> destination)
    {
        destination[..Size].Clear();
        BinaryPrimitives.WriteUInt32BigEndian(destination, MultifdPacket.MagicNumber);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], MultifdPacket.Version);
        Uuid.TryWriteBytes(destination[UuidOffset..], bigEndian: true, out _);
        destination[IdOffset] = Id;
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out MultifdInit init, out string? error)
    {
        init = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"a multifd channel begins with {Size} bytes, not {source.Length}";
        }
        else if (BinaryPrimitives.ReadUInt32BigEndian(source) is var magic && magic != MultifdPacket.MagicNumber)
        {
            error = $"not a multifd channel: magic {magic:X8}, expected {MultifdPacket.MagicNumber:X8}";
        }
        else if (BinaryPrimitives.ReadUInt32BigEndian(source[4..]) is var version && version != MultifdPacket.Version)
        {
            error = $"multifd version {version} is not supported, only {MultifdPacket.Version}";
        }
        else
        {
            init = new MultifdInit(new Guid(source.Slice(UuidOffset, UuidSize), bigEndian: true), source[IdOffset]);
        }

        return error is null;
    }
}
