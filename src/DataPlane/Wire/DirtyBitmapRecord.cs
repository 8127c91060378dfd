using System.Buffers;

namespace DataPlane.Wire;

/// <summary>
/// The head of a record in the section of capability <c>dirty-bitmaps</c>: whether it ends the section's body, and what it is about.
/// <code>
/// u8 flags | [flag 08: u8 n, name of the disk's node] | [flag 04: u8 n, name of the bitmap] | what the other flags bring
/// flag 01: the last record of the body, alone in its byte
/// </code>
/// </summary>
internal readonly ref struct DirtyBitmapRecord
{
    /// <summary>The name of the section.</summary>
    public static ReadOnlySpan<byte> SectionName => "dirty-bitmap"u8;

    /// <summary>The version that QEMU 7.2 to 11.1 send.</summary>
    public const uint SectionVersion = 1;

    public const int MaxSize = 1 + 2 * (1 + WireLimits.MaxNameLength);

    private const byte EndOfSection = 0x01;
    private const byte HasBitmapName = 0x04;
    private const byte HasNodeName = 0x08;

    private DirtyBitmapRecord(byte flags, ReadOnlySpan<byte> node, ReadOnlySpan<byte> bitmap)
    {
        IsEnd = flags == EndOfSection;
        Node = node;
        Bitmap = bitmap;
    }

    /// <summary>Whether this is the last record of the body.</summary>
    public bool IsEnd { get; }

    /// <summary>The name of the disk's node; empty where the record is about the same node as the one before.</summary>
    public ReadOnlySpan<byte> Node { get; }

    /// <summary>The name of the bitmap; empty where the record is about the same bitmap as the one before.</summary>
    public ReadOnlySpan<byte> Bitmap { get; }

    /// <summary>Parses the head of a record. It never fails on a name, because names only go into the message that refuses them.</summary>
    public static OperationStatus Parse(ReadOnlySpan<byte> source, out DirtyBitmapRecord record, out int consumed)
    {
        record = default;
        consumed = 0;
        var reader = new WireReader(source);
        ReadOnlySpan<byte> node = default, bitmap = default;
        if (!reader.TryRead(out byte flags)
            || ((flags & HasNodeName) != 0 && !reader.TryReadName(out node))
            || ((flags & HasBitmapName) != 0 && !reader.TryReadName(out bitmap)))
        {
            return OperationStatus.NeedMoreData;
        }

        record = new DirtyBitmapRecord(flags, node, bitmap);
        consumed = reader.Position;
        return OperationStatus.Done;
    }
}
