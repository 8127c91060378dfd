using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <content>Reads the block list and checks the places that it points to.</content>
internal sealed partial class MappedRamReader
{
    private bool ReadBlocks(long baseOffset)
    {
        var status =
            RamRecordHeader.Parse(Look(RamRecordHeader.MaxSize), out var record, out var consumed, out var error);
        if (status == OperationStatus.Done && record.Kind != RamFlags.MemorySize)
        {
            return Fail($"a {record.Flags} record instead of the list of blocks");
        }

        if (!Move(status, consumed, error))
        {
            return false;
        }

        if (!RamBlockList.TryBegin(record.Offset, _limits.MaxRamBytes, out var list, out error))
        {
            return Fail(error);
        }

        _totalBytes = record.Offset;
        var start = baseOffset;
        while (!list!.IsComplete)
        {
            if (!ReadBlock(list))
            {
                return false;
            }

            _ranges.Add((start, _position));
            var block = _blocks[^1];
            _ranges.Add((block.BitmapOffset, block.BitmapOffset + block.BitmapLength));
            _ranges.Add((block.PagesOffset, block.PagesEnd));
            _position = block.PagesEnd;
            start = _position;
        }

        return CheckRanges();
    }

    private bool ReadBlock(RamBlockList list)
    {
        var options = new RamBlockEntryOptions(list.RemainingBytes, IgnoreShared: _configuration!.IgnoresShared);
        var status =
            RamBlockEntry.Parse(Look(RamBlockEntry.MaxSize), options, out var entry, out var consumed, out var error);
        if (!Move(status, consumed, error))
        {
            return false;
        }

        if (!list.TryAdd(entry, out error))
        {
            return Fail(error);
        }

        var source = Look(MappedRamHeader.Size);
        if (source.Length < MappedRamHeader.Size)
        {
            return Move(OperationStatus.NeedMoreData, 0, null);
        }

        if (!MappedRamHeader.TryRead(source, out var header, out error))
        {
            return Fail($"RAM block '{entry.Name}': {error}");
        }

        if (_configuration.IgnoresShared && header is { BitmapOffset: 0, PagesOffset: 0 })
        {
            return Fail($"RAM block '{entry.Name}' lives in a file of its own (x-ignore-shared) and is not in this image");
        }

        var block = new MappedRamBlock(entry.Name, entry.Length, header.BitmapOffset, header.PagesOffset);
        if (!Fits(block.BitmapOffset, block.BitmapLength))
        {
            return Fail(
                $"the bitmap of RAM block '{entry.Name}' at {block.BitmapOffset:X} reaches over the end of the file ({_image.Length:X})");
        }

        if (!Fits(block.PagesOffset, block.Length))
        {
            return Fail(
                $"the pages of RAM block '{entry.Name}' at {block.PagesOffset:X} reach over the end of the file ({_image.Length:X})");
        }

        _blocks.Add(block);
        _position += MappedRamHeader.Size;
        return true;
    }

    private bool Fits(long offset, long length) => offset <= _image.Length && length <= _image.Length - offset;

    /// <summary>Checks that the places in the list do not overlap; otherwise pages written to one of them would change another.</summary>
    private bool CheckRanges()
    {
        _ranges.Sort();
        for (var i = 1; i < _ranges.Count; i++)
        {
            if (_ranges[i].Start < _ranges[i - 1].End)
            {
                return Fail(
                    $"the areas {_ranges[i - 1].Start:X} to {_ranges[i - 1].End:X} and {_ranges[i].Start:X} to {_ranges[i].End:X} overlap");
            }
        }

        return true;
    }
}
