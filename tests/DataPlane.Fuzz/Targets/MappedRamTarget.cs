using DataPlane.Images;
using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>
/// A saved VM. The input has the pieces that are read: <c>u16 page | u16 length | bytes</c>, over and over. What lies between, bitmaps and
/// pages of RAM, are holes, so that files of many MiB come from inputs of some KiB.
/// </summary>
internal sealed class MappedRamTarget : IFuzzTarget
{
    private const int MaxDeviceStateBytes = 64 << 10;

    // The window of an early section, and a copy of what is in it.
    private const long MaxReads = 3 << 20;

    public string Reads => "saved VMs: head, list of blocks, device state (MappedRamReader)";

    public int MaxInputBytes => 32 << 10;

    public long MaxAllocatedBytes => MaxReads + (4 * MaxDeviceStateBytes);

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var pieces = new List<(long Offset, ReadOnlyMemory<byte> Bytes)>();
        while (!choices.Rest.IsEmpty)
        {
            long page = choices.Word();
            pieces.Add((page * WireLimits.PageSize, choices.Take(choices.Word())));
        }

        var image = new Image(pieces);
        var accepted = MappedRamReader.TryRead(
            image, new MappedRamLimits(1L << 30, MaxDeviceStateBytes), 0, out var info, out var error);
        Oracle.Consistent(accepted, error);
        if (accepted)
        {
            Check(info!, image);
        }

        return accepted;
    }

    private static void Check(MappedRamImageInfo info, Image image)
    {
        Oracle.Holds(info.Blocks.Sum(block => block.Length) == info.TotalRamBytes);
        (long Start, long End)[] areas =
        [
            .. info.Blocks.Select(block => (block.BitmapOffset, block.BitmapOffset + block.BitmapLength))
                .Concat(info.Blocks.Select(block => (block.PagesOffset, block.PagesEnd))).Order(),
        ];
        for (var i = 0; i < areas.Length; i++)
        {
            Oracle.Holds(areas[i].Start >= (i == 0 ? 0 : areas[i - 1].End) && areas[i].End <= image.Length);
        }

        WriteAgain(info);
    }

    /// <summary>A file made of what was read reads the same.</summary>
    private static void WriteAgain(MappedRamImageInfo info)
    {
        if (info.Configuration.IgnoresShared)
        {
            return; // written by QEMU only
        }

        var layout = MappedRamLayout.Create(new MappedRamContents
        {
            MachineName = info.Configuration.MachineName,
            Uuid = info.Configuration.Uuid,
            TargetPageBits = info.Configuration.TargetPageBits,
            RamSectionId = info.RamSectionId,
            Blocks = [.. info.Blocks.Select(block => new RamBlockEntry(block.Name, block.Length))],
        });
        var image = new Image(
            [.. layout.Pieces.Select(piece => (piece.Offset, piece.Bytes)), (layout.TailOffset, layout.BuildTail(info.State))]);
        Oracle.Holds(MappedRamReader.TryRead(
            image, new MappedRamLimits(1L << 30, MaxDeviceStateBytes), 0, out var again, out _));
        Oracle.Holds(again!.TotalRamBytes == info.TotalRamBytes && again.RamSectionId == info.RamSectionId);
        Oracle.Holds(again.Blocks.Select(block => (block.Name, block.Length)).SequenceEqual(
            info.Blocks.Select(block => (block.Name, block.Length))));
        Oracle.Same(again.State.Sections.Span, info.State.Sections.Span, "device sections of a saved VM");
        Oracle.Same(again.State.EarlySections.Span, info.State.EarlySections.Span, "early sections of a saved VM");
        Oracle.Same(again.State.Description.Span, info.State.Description.Span, "description of a saved VM");
        Oracle.Holds(again.State.Devices.SequenceEqual<DeviceSection>(info.State.Devices));
    }

    /// <summary>A file with holes.</summary>
    private sealed class Image(IReadOnlyList<(long Offset, ReadOnlyMemory<byte> Bytes)> pieces) : ImageBytes
    {
        public override long Length { get; } = pieces.Select(piece => piece.Offset + piece.Bytes.Length).DefaultIfEmpty().Max();

        public override int Read(long offset, Span<byte> buffer)
        {
            Oracle.Holds(offset >= 0);
            var count = (int)Math.Clamp(Length - offset, 0, buffer.Length);
            buffer[..count].Clear();
            foreach ((var start, var bytes) in pieces)
            {
                var from = Math.Max(offset, start);
                var to = Math.Min(offset + count, start + bytes.Length);
                if (from < to)
                {
                    bytes.Span[(int)(from - start)..(int)(to - start)].CopyTo(buffer[(int)(from - offset)..]);
                }
            }

            return count;
        }
    }
}
