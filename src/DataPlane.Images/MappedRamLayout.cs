using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>
/// Computes the place of everything in a mapped-ram file. The file is then written in any order: the pieces, pages at their places as they
/// come, each block's bitmap when its pages are there, and at the end the tail.
/// <code>
/// stream header | configuration with "mapped-ram" | [early sections] | 01 id "ram" 0 4 | total
/// per block:  entry | header | bitmap | gap up to a multiple of 1 MiB | pages
/// tail:       EOS | footer | [later early sections] | 03 id EOS footer | device sections | 00 | 06 n JSON
/// </code>
/// </summary>
internal sealed class MappedRamLayout
{
    /// <summary>QEMU's alignment of the pages. It also suits direct I/O and huge pages of the page cache.</summary>
    private const long PagesAlignment = 1 << 20;

    private const uint RamVersion = 4;

    private readonly uint _ramSectionId;
    private readonly ReadOnlyMemory<byte> _earlySections;

    private MappedRamLayout(IReadOnlyList<Piece> pieces, IReadOnlyList<MappedRamBlock> blocks, MappedRamContents contents)
    {
        Pieces = pieces;
        Blocks = blocks;
        _ramSectionId = contents.RamSectionId;
        _earlySections = contents.EarlySections;
    }

    /// <summary>
    /// The bytes between the areas of pages and bitmaps, ready to be written: the head with the first block's entry, then one piece per
    /// further block.
    /// </summary>
    public IReadOnlyList<Piece> Pieces { get; }

    public IReadOnlyList<MappedRamBlock> Blocks { get; }

    /// <summary>
    /// Offset of the bytes from <see cref="BuildTail"/>. Up to here the file can be reserved before the first page arrives.
    /// </summary>
    public long TailOffset => Blocks[^1].PagesEnd;

    /// <summary>Computes the layout of a file with the given contents.</summary>
    /// <exception cref="ArgumentException">There is no block.</exception>
    /// <exception cref="OverflowException">The file would be longer than a file can be.</exception>
    public static MappedRamLayout Create(MappedRamContents contents)
    {
        if (contents.Blocks.Count == 0)
        {
            throw new ArgumentException("A VM has at least one RAM block.", nameof(contents));
        }

        var pieces = new List<Piece>();
        var blocks = new List<MappedRamBlock>();
        var piece = new ArrayBufferWriter<byte>();
        WriteHead(piece, contents);
        var position = contents.BaseOffset;
        foreach (var entry in contents.Blocks)
        {
            // Host page size and physical address belong to streams only; the list in a file has neither.
            new RamBlockEntry(entry.Name, entry.Length).Write(piece);
            var bitmap = checked(position + piece.WrittenCount + MappedRamHeader.Size);
            var pages = RoundUp(checked(bitmap + MappedRamBlock.BitmapLengthOf(entry.Length)), PagesAlignment);
            new MappedRamHeader(bitmap, pages).Write(piece.GetSpan(MappedRamHeader.Size));
            piece.Advance(MappedRamHeader.Size);

            pieces.Add(new Piece(position, piece.WrittenSpan.ToArray()));
            blocks.Add(new MappedRamBlock(entry.Name, entry.Length, bitmap, pages));
            position = checked(pages + entry.Length);
            piece.Clear();
        }

        return new MappedRamLayout(pieces, blocks, contents);
    }

    /// <summary>
    /// Returns the end of the file, which makes it complete. Early sections that came too late for the head (QEMU 10.0 sends them after the
    /// block list) go here, as in the files that QEMU 10.0 writes.
    /// </summary>
    /// <exception cref="ArgumentException">The early sections of <paramref name="state"/> do not begin with those of the head.</exception>
    public byte[] BuildTail(DeviceState state)
    {
        if (!state.EarlySections.Span.StartsWith(_earlySections.Span))
        {
            throw new ArgumentException("The head of the file has other early sections.", nameof(state));
        }

        var tail = new ArrayBufferWriter<byte>();
        WriteEndOfSection(tail);
        tail.Write(state.EarlySections.Span[_earlySections.Length..]);
        tail.Advance(SectionHeader.Write(tail.GetSpan(SectionHeader.MaxSize), SectionType.End, _ramSectionId));
        WriteEndOfSection(tail);
        tail.Write(state.Sections.Span);
        tail.Write([(byte)SectionType.EndOfFile]);
        VmDescriptionHeader.Write(tail.GetSpan(VmDescriptionHeader.Size), state.Description.Length);
        tail.Advance(VmDescriptionHeader.Size);
        tail.Write(state.Description.Span);
        return tail.WrittenSpan.ToArray();
    }

    private void WriteEndOfSection(ArrayBufferWriter<byte> tail)
    {
        tail.Advance(RamRecordHeader.Write(tail.GetSpan(RamRecordHeader.MaxSize), RamFlags.EndOfSection, 0));
        SectionFooter.Write(tail.GetSpan(SectionFooter.Size), _ramSectionId);
        tail.Advance(SectionFooter.Size);
    }

    private static void WriteHead(ArrayBufferWriter<byte> head, MappedRamContents contents)
    {
        StreamHeader.Write(head.GetSpan(StreamHeader.Size));
        head.Advance(StreamHeader.Size);
        new ConfigurationSection
        {
            MachineName = contents.MachineName,
            Capabilities = [ConfigurationSection.MappedRamCapability],
            Uuid = contents.Uuid,
            TargetPageBits = contents.TargetPageBits,
        }.Write(head);
        head.Write(contents.EarlySections.Span);
        head.Advance(SectionHeader.Write(
            head.GetSpan(SectionHeader.MaxSize), SectionType.Start, contents.RamSectionId, "ram"u8, instance: 0, RamVersion));
        var total = contents.Blocks.Aggregate(0L, (sum, block) => checked(sum + block.Length));
        head.Advance(RamRecordHeader.Write(head.GetSpan(RamRecordHeader.MaxSize), RamFlags.MemorySize, total));
    }

    private static long RoundUp(long value, long alignment) => checked(value + alignment - 1) & ~(alignment - 1);

    /// <summary>Bytes that are to be written at one offset of a file.</summary>
    public readonly record struct Piece(long Offset, ReadOnlyMemory<byte> Bytes);
}

/// <summary>What a mapped-ram file is made from besides pages and device state. All of it is known before the first page.</summary>
internal sealed record MappedRamContents
{
    public required string MachineName { get; init; }

    public Guid? Uuid { get; init; }

    public int? TargetPageBits { get; init; }

    public ReadOnlyMemory<byte> EarlySections { get; init; }

    /// <summary>Id of the ram section: 1 to 7FFFFFFF, and different from the ids of the early sections.</summary>
    public uint RamSectionId { get; init; } = 1;

    public required IReadOnlyList<RamBlockEntry> Blocks { get; init; }

    /// <summary>Offset of the image in its file, in bytes.</summary>
    public long BaseOffset { get; init; }
}
