using System.Buffers;
using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// The head of one record in the body of a "ram" section or on the preempt channel (specification, 2-main-stream section 2).
/// <code>
/// u64  offset in the block | flags (low 12 bits)
/// [u8 n, n bytes block name]     for pages without CONTINUE
/// </code>
/// What follows depends on the flags: a page, <see cref="ZeroPageFill"/>, <see cref="XbzrleHeader"/>, <see cref="CompressedPageHeader"/>,
/// the block list (<see cref="RamBlockEntry"/>) or nothing.
/// </summary>
internal readonly struct RamRecordHeader
{
    public const int MinSize = sizeof(ulong);
    public const int MaxSize = sizeof(ulong) + 1 + WireLimits.MaxNameLength;

    private const int NameStart = sizeof(ulong) + 1;
    private const ulong FlagMask = WireLimits.PageOffsetMask;

    private readonly ulong _word;
    private readonly byte _nameLength;

    private RamRecordHeader(ulong word, byte nameLength)
    {
        _word = word;
        _nameLength = nameLength;
    }

    public RamFlags Flags => (RamFlags)(_word & FlagMask);

    /// <summary>The record's kind: <see cref="Flags"/> without CONTINUE.</summary>
    public RamFlags Kind => Flags & ~RamFlags.Continue;

    /// <summary>Byte offset in the block, page-aligned; the total of all blocks for MEM_SIZE.</summary>
    public long Offset => (long)(_word & ~FlagMask);

    public bool HasName => _nameLength != 0;

    /// <summary>The block's name inside <paramref name="source"/>, the bytes that were parsed; empty without a name.</summary>
    public ReadOnlySpan<byte> Name(ReadOnlySpan<byte> source) => HasName ? source.Slice(NameStart, _nameLength) : default;

    /// <summary>Checks flags and name; whether block and offset exist is known only to the receiver.</summary>
    public static OperationStatus Parse(ReadOnlySpan<byte> source, out RamRecordHeader header, out int consumed, out string? error)
    {
        header = default;
        consumed = 0;
        error = null;
        if (!BinaryPrimitives.TryReadUInt64BigEndian(source, out var word))
        {
            return OperationStatus.NeedMoreData;
        }

        if ((long)word < 0)
        {
            return Refuse(word, "an offset of 2^63 or more", out error);
        }

        switch ((RamFlags)(word & FlagMask))
        {
            case RamFlags.Page | RamFlags.Continue:
            case RamFlags.Zero | RamFlags.Continue:
            case RamFlags.Xbzrle | RamFlags.Continue:
            case RamFlags.CompressedPage | RamFlags.Continue:
            case RamFlags.MemorySize:
                header = new RamRecordHeader(word, 0);
                consumed = MinSize;
                return OperationStatus.Done;

            case RamFlags.Page:
            case RamFlags.Zero:
            case RamFlags.Xbzrle:
            case RamFlags.CompressedPage:
                if (source.Length < NameStart)
                {
                    return OperationStatus.NeedMoreData;
                }

                var nameLength = source[NameStart - 1];
                if (nameLength == 0)
                {
                    return Refuse(word, "no block name", out error);
                }

                if (source.Length - NameStart < nameLength)
                {
                    return OperationStatus.NeedMoreData;
                }

                header = new RamRecordHeader(word, nameLength);
                consumed = NameStart + nameLength;
                return OperationStatus.Done;

            case RamFlags.EndOfSection:
            case RamFlags.MultifdFlush:
                if ((word & ~FlagMask) != 0)
                {
                    return Refuse(word, "an offset where none belongs", out error);
                }

                header = new RamRecordHeader(word, 0);
                consumed = MinSize;
                return OperationStatus.Done;

            default:
                return Refuse(word, "an unknown combination of flags", out error);
        }
    }

    /// <summary>
    /// Writes a record's head; an empty <paramref name="blockName"/> means that <paramref name="flags"/> need none. Returns its size.
    /// </summary>
    public static int Write(Span<byte> destination, RamFlags flags, long offset, ReadOnlySpan<byte> blockName = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if ((offset & WireLimits.PageOffsetMask) != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), offset, "Offsets are multiples of the page size.");
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination, (ulong)offset | (uint)flags);
        if (blockName.IsEmpty)
        {
            return MinSize;
        }

        var writer = new WireWriter(destination[MinSize..]);
        writer.WriteName(blockName);
        return MinSize + writer.Written;
    }

    private static OperationStatus Refuse(ulong word, string what, out string? error)
    {
        error = $"RAM record {word:X16} has {what} (flags {(RamFlags)(word & FlagMask)})";
        return OperationStatus.InvalidData;
    }
}

/// <summary>Low bits of the word that opens each RAM record (specification, 2-main-stream section 2).</summary>
[Flags]
internal enum RamFlags : uint
{
    None = 0,
    Full = 1,
    Zero = 2,
    MemorySize = 4,
    Page = 8,
    EndOfSection = 0x10,
    Continue = 0x20,
    Xbzrle = 0x40,
    Hook = 0x80,
    CompressedPage = 0x100,
    MultifdFlush = 0x200,
}
