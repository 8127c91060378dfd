using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>Reads the list of RAM blocks in a mapped-ram file, and checks the places that it points to.</summary>
/// <param name="cursor">Stands at the list, and after a successful read at its end.</param>
/// <param name="maxRamBytes">Largest sum of all RAM blocks, in bytes.</param>
/// <param name="ignoresShared">Whether shared blocks live in files of their own (x-ignore-shared).</param>
internal sealed class MappedRamBlockReader(ImageCursor cursor, long maxRamBytes, bool ignoresShared)
{
    private readonly List<MappedRamBlock> _blocks = [];
    private readonly List<(long Start, long End)> _ranges = [];

    public IReadOnlyList<MappedRamBlock> Blocks => _blocks;

    /// <summary>The sum of all blocks in bytes.</summary>
    public long TotalBytes { get; private set; }

    /// <summary>Reads the list. Returns false if it is wrong, which the cursor then explains.</summary>
    /// <param name="baseOffset">Offset of the image in the file.</param>
    public bool TryRead(long baseOffset)
    {
        var status =
            RamRecordHeader.Parse(cursor.Look(RamRecordHeader.MaxSize), out var record, out var consumed, out var error);
        if (status == OperationStatus.Done && record.Kind != RamFlags.MemorySize)
        {
            return cursor.Fail($"a {record.Flags} record instead of the list of blocks");
        }

        if (!cursor.Move(status, consumed, error))
        {
            return false;
        }

        if (!RamBlockList.TryBegin(record.Offset, maxRamBytes, out var list, out error))
        {
            return cursor.Fail(error);
        }

        TotalBytes = record.Offset;
        var start = baseOffset;
        while (!list!.IsComplete)
        {
            if (!ReadBlock(list))
            {
                return false;
            }

            _ranges.Add((start, cursor.Position));
            var block = _blocks[^1];
            _ranges.Add((block.BitmapOffset, block.BitmapOffset + block.BitmapLength));
            _ranges.Add((block.PagesOffset, block.PagesEnd));
            cursor.Position = block.PagesEnd;
            start = cursor.Position;
        }

        return CheckRanges();
    }

    private bool ReadBlock(RamBlockList list)
    {
        var options = new RamBlockEntryOptions(list.RemainingBytes, IgnoreShared: ignoresShared);
        var status =
            RamBlockEntry.Parse(cursor.Look(RamBlockEntry.MaxSize), options, out var entry, out var consumed, out var error);
        if (!cursor.Move(status, consumed, error))
        {
            return false;
        }

        if (!list.TryAdd(entry, out error))
        {
            return cursor.Fail(error);
        }

        var source = cursor.Look(MappedRamHeader.Size);
        if (source.Length < MappedRamHeader.Size)
        {
            return cursor.Move(OperationStatus.NeedMoreData, 0, null);
        }

        if (!MappedRamHeader.TryRead(source, out var header, out error))
        {
            return cursor.Fail($"RAM block '{entry.Name}': {error}");
        }

        if (ignoresShared && header is { BitmapOffset: 0, PagesOffset: 0 })
        {
            return cursor.Fail($"RAM block '{entry.Name}' lives in a file of its own (x-ignore-shared) and is not in this image");
        }

        var block = new MappedRamBlock(entry.Name, entry.Length, header.BitmapOffset, header.PagesOffset);
        if (!cursor.Fits(block.BitmapOffset, block.BitmapLength))
        {
            return cursor.Fail(
                $"the bitmap of RAM block '{entry.Name}' at {block.BitmapOffset:X} reaches over the end of the file ({cursor.Length:X})");
        }

        if (!cursor.Fits(block.PagesOffset, block.Length))
        {
            return cursor.Fail(
                $"the pages of RAM block '{entry.Name}' at {block.PagesOffset:X} reach over the end of the file ({cursor.Length:X})");
        }

        _blocks.Add(block);
        cursor.Position += MappedRamHeader.Size;
        return true;
    }

    /// <summary>Checks that the places in the list do not overlap; otherwise pages written to one of them would change another.</summary>
    private bool CheckRanges()
    {
        _ranges.Sort();
        for (var i = 1; i < _ranges.Count; i++)
        {
            if (_ranges[i].Start < _ranges[i - 1].End)
            {
                return cursor.Fail(
                    $"the areas {_ranges[i - 1].Start:X} to {_ranges[i - 1].End:X} and {_ranges[i].Start:X} to {_ranges[i].End:X} overlap");
            }
        }

        return true;
    }
}
