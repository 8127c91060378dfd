using System.Buffers.Binary;
using CsCheck;
using DataPlane.Images;
using DataPlane.Tests.MainStream.Devices;
using DataPlane.Tests.Wire;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class MappedRamReaderTests
{
    private const long MaxRam = 1L << 30;
    private const int RecordOffset = 0x60;
    private const int HeaderOffset = 0x6F;
    private const int BitmapField = HeaderOffset + 12;
    private const int PagesField = HeaderOffset + 20;
    private const int TailOffset = 0x4601000;

    private static readonly byte[] s_empty = Hex.Bytes("00 00 00 00 00 00 00 10 7E 00 00 00 01");

    [Fact]
    public void What_the_layout_makes_is_read_back()
    {
        var info = ReadOk(ExampleImage.Build());
        Assert.Equal("pc-q35-10.0", info.Configuration.MachineName);
        Assert.Equal(MappedRamLayout.Create(ExampleImage.Contents).Blocks, info.Blocks);
        Assert.Equal(0x4082000, info.TotalRamBytes);
        Assert.Equal(1u, info.RamSectionId);
        Assert.Equal(["apic", "timer"], info.State.Devices.Select(d => d.Name));
        Assert.Equal(ExampleImage.Devices.Sections.ToArray(), info.State.Sections.ToArray());
        Assert.Equal(ExampleImage.Devices.Description.ToArray(), info.State.Description.ToArray());
    }

    [Fact]
    public void Parts_and_commands_of_QEMU_are_skipped()
    {
        byte[] tail =
        [
            .. s_empty,
            .. Hex.Bytes("02 00 00 00 01"), .. s_empty,
            .. Hex.Bytes("08 00 0B 00 00"),
            .. Hex.Bytes("03 00 00 00 01"), .. s_empty,
            .. Devices(),
        ];
        ReadOk(ExampleImage.Build().Write(TailOffset, tail));
    }

    [Fact]
    public void A_missing_END_and_garbage_behind_the_description_do_no_harm()
    {
        ReadOk(ExampleImage.Build().Write(TailOffset, [.. s_empty, .. Devices()]).Cut(TailOffset + s_empty.Length + Devices().Length));
        var garbage = new byte[3 << 20];
        new Random(1).NextBytes(garbage);
        ReadOk(ExampleImage.Build().Write(ExampleImage.Build().Length, garbage));
    }

    [Fact]
    public void Device_state_larger_than_the_first_read_is_found()
    {
        var large = DeviceState.Wrap("vmm", new byte[5 << 20]);
        var info = ReadOk(ExampleImage.Build(MappedRamLayout.Create(ExampleImage.Contents), large));
        Assert.Equal(5 << 20, info.State.Unwrap("vmm").Length);
    }

    [Fact]
    public void Early_sections_uuid_and_base_offset_are_read()
    {
        var early = DeviceStreamBuilder.Section("early", [1, 2, 3], id: 9);
        var devices = new DeviceState(early, ExampleImage.Devices.Sections, ExampleImage.Devices.Description, []);
        var contents = ExampleImage.Contents with { Uuid = Guid.NewGuid(), EarlySections = early, BaseOffset = 1000 };
        var info = ReadOk(ExampleImage.Build(MappedRamLayout.Create(contents), devices), baseOffset: 1000);
        Assert.Equal(contents.Uuid, info.Configuration.Uuid);
        Assert.Equal(early, info.State.EarlySections.ToArray());
    }

    [Fact]
    public void Early_sections_behind_the_block_list_are_read_as_such()
    {
        byte[] early =
            [.. DeviceStreamBuilder.Section("early", [1, 2, 3], id: 9), .. DeviceStreamBuilder.Section("early", [4], id: 9, instance: 1)];
        var devices = new DeviceState(early, ExampleImage.Devices.Sections, ExampleImage.Devices.Description, []);
        var info = ReadOk(ExampleImage.Build(MappedRamLayout.Create(ExampleImage.Contents), devices));
        Assert.Equal(early, info.State.EarlySections.ToArray());
        Assert.Equal(["apic", "timer"], info.State.Devices.Select(d => d.Name));
    }

    /// <summary>Each costs a look over a megabyte: a file of nothing but such sections would take days to be refused.</summary>
    [Theory]
    [InlineData(WireLimits.MaxEarlySections, true)]
    [InlineData(WireLimits.MaxEarlySections + 1, false)]
    public void Early_sections_have_a_limit(int count, bool isRead)
    {
        byte[] early = [.. Enumerable.Range(0, count).SelectMany(static i =>
            DeviceStreamBuilder.Section("early", [1], id: 9, instance: (uint)i))];
        var devices = new DeviceState(early, ExampleImage.Devices.Sections, ExampleImage.Devices.Description, []);
        var image = ExampleImage.Build(MappedRamLayout.Create(ExampleImage.Contents), devices);
        if (isRead)
        {
            Assert.Equal(early, ReadOk(image).State.EarlySections.ToArray());
        }
        else
        {
            RefuseAny(image);
        }
    }

    [Fact]
    public void Commands_before_RAM_are_skipped()
    {
        var head = MappedRamLayout.Create(ExampleImage.Contents).Pieces[0].Bytes.ToArray();
        byte[] withPing = [.. head[..71], .. Hex.Bytes("08 0001 0000 08 0002 0004 00000001"), .. head[71..]];
        ReadOk(ExampleImage.Build().Write(0, withPing).Patch(BitmapField + 14, [0, 0, 0, 0, 0, 0, 0, 0x99]));
    }

    [Fact]
    public void A_file_cut_anywhere_in_its_head_or_tail_is_refused()
    {
        var length = ExampleImage.Build().Length;
        for (long cut = 0; cut < 0x8B + 2; cut++)
        {
            RefuseAny(ExampleImage.Build().Cut(cut));
        }

        foreach (var cut in (long[])[0x100000, 0x4100000, 0x410001D, 0x4100038, TailOffset - 1])
        {
            RefuseAny(ExampleImage.Build().Cut(cut));
        }

        for (long cut = TailOffset; cut < length; cut++)
        {
            RefuseAny(ExampleImage.Build().Cut(cut));
        }

        ReadOk(ExampleImage.Build().Cut(length));
    }

    [Theory]
    [InlineData(0, "51 45 56 4E", "not a migration stream")]
    [InlineData(4, "00 00 00 02", "version 2")]
    [InlineData(RecordOffset - 8, "80 00 00 00 04 08 20 04", "2^63")]
    [InlineData(RecordOffset - 8, "00 00 00 01 00 00 00 04", "allowed are 1073741824")]
    [InlineData(RecordOffset - 8, "00 00 00 00 00 00 00 04", "no RAM")]
    [InlineData(RecordOffset - 8, "00 00 00 00 00 00 00 10", "EndOfSection record instead of the list")]
    [InlineData(RecordOffset - 8, "00 00 00 00 04 08 10 04", "an unknown combination of flags")]
    [InlineData(RecordOffset - 8, "00 00 00 00 04 08 30 04", "a RAM block has no name")]
    [InlineData(RecordOffset + 7, "00 00 00 00 04 00 08 00", "length 67110912")]
    [InlineData(RecordOffset + 7, "FF FF FF FF FF FF F0 00", "only 67641344 bytes")]
    [InlineData(HeaderOffset, "00 00 00 02", "RAM block 'pc.ram': mapped-ram version 2")]
    [InlineData(BitmapField, "7F FF FF FF FF FF FF FF", "the bitmap of RAM block 'pc.ram' at 7FFFFFFFFFFFFFFF reaches over the end")]
    [InlineData(BitmapField, "80 00 00 00 00 00 00 00", "lie in no file")]
    [InlineData(PagesField, "7F FF FF FF FF FF F0 00", "the pages of RAM block 'pc.ram' at 7FFFFFFFFFFFF000 reach over the end")]
    [InlineData(PagesField, "00 00 00 00 00 10 02 00", "page boundary")]
    [InlineData(BitmapField, "00 00 00 00 00 00 00 8A", "overlap")]
    [InlineData(BitmapField, "00 00 00 00 00 00 00 00", "overlap")]
    [InlineData(BitmapField, "00 00 00 00 00 20 00 00", "overlap")]
    [InlineData(BitmapField, "00 00 00 00 00 0F F8 01", "overlap")]
    [InlineData(0x410001D + 20, "00 00 00 00 00 10 00 00", "a RAM block has no name")]
    [InlineData(TailOffset, "00 00 00 00 00 00 00 08", "in a mapped-ram file")]
    [InlineData(TailOffset + 8, "7E 00 00 00 02", "the footer of section 1 names section 2")]
    [InlineData(TailOffset + 13, "01 00 00 00 02 01 62 00 00 00 00 00 00 00 04", "Start of section 2, only ram (1)")]
    [InlineData(TailOffset + 14, "00 00 00 02", "End of section 2, only ram (1)")]
    [InlineData(TailOffset + 13, "06", "unknown section type 06")]
    [InlineData(TailOffset + 31, "02", "byte 02 instead of a device section")]
    public void Hostile_fields_are_refused(long offset, string hex, string because) =>
        Assert.Contains(because, RefuseAny(ExampleImage.Build().Patch(offset, Hex.Bytes(hex))), StringComparison.Ordinal);

    [Fact]
    public void Pages_of_one_block_inside_those_of_another_are_refused()
    {
        // The second block claims an area in the middle of the first; the list goes on after that area.
        var image = ExampleImage.Build().Patch(0x410001D + 20, Offset(0x200000));
        var layout = MappedRamLayout.Create(ExampleImage.Contents);
        image.Write(0x200000 + 0x20000, layout.Pieces[2].Bytes.Span);
        Assert.Contains("overlap", RefuseAny(image), StringComparison.Ordinal);
    }

    [Fact]
    public void A_bitmap_may_stand_anywhere_else()
    {
        var image = ExampleImage.Build();
        var elsewhere = image.Length;
        image.Write(elsewhere, new byte[0x800]).Patch(BitmapField, Offset(elsewhere));
        Assert.Equal(elsewhere, ReadOk(image).Blocks[0].BitmapOffset);
    }

    [Fact]
    public void A_saved_stream_without_mapped_ram_is_refused()
    {
        var image = new SparseImage().Write(0, Hex.Bytes("51 45 56 4D 00 00 00 03 07 00 00 00 0B \"pc-q35-10.0\" 01 00 00 00 01"));
        Assert.Contains("lacks mapped-ram", RefuseAny(image), StringComparison.Ordinal);
    }

    [Fact]
    public void RAM_that_lives_in_a_file_of_its_own_is_refused_by_name()
    {
        byte[] image =
        [
            .. Hex.Bytes("51 45 56 4D 00 00 00 03 07 00 00 00 0B \"pc-q35-10.0\" 05 1A \"configuration/capabilities\" 00000001 00000002"),
            .. Hex.Bytes("0A \"mapped-ram\" 0F \"x-ignore-shared\" 01 00000001 03 \"ram\" 00000000 00000004 0000000004000004"),
            .. Hex.Bytes("06 \"pc.ram\" 0000000004000000 0000000000000000 00000001 0000000000001000 0000000000000000 0000000000000000 00"),
        ];
        Assert.Contains(
            "RAM block 'pc.ram' lives in a file of its own", RefuseAny(new SparseImage().Write(0, image)), StringComparison.Ordinal);
    }

    [Fact]
    public void Device_state_is_bounded()
    {
        var image = ExampleImage.Build();
        var state = (int)(image.Length - TailOffset - 31);
        Assert.True(MappedRamReader.TryRead(image, new MappedRamLimits(MaxRam, state), 0, out _, out var error), error);
        Assert.False(MappedRamReader.TryRead(image, new MappedRamLimits(MaxRam, state - 1), 0, out _, out error));
        Assert.Contains($"more than {state - 1} bytes", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(0x7000000)]
    public void An_image_cannot_begin_outside_of_its_file(long baseOffset)
    {
        Assert.False(MappedRamReader.TryRead(ExampleImage.Build(), new MappedRamLimits(MaxRam), baseOffset, out _, out var error));
        Assert.Contains("beyond the end of the file", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Real_files_are_read_through_their_handle()
    {
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            var layout = MappedRamLayout.Create(ExampleImage.Contents);
            using var file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite);
            foreach (var piece in layout.Pieces)
            {
                RandomAccess.Write(file, piece.Bytes.Span, piece.Offset);
            }

            RandomAccess.Write(file, layout.BuildTail(ExampleImage.Devices), layout.TailOffset);
            Assert.Equal(layout.Blocks, ReadOk(ImageBytes.Of(file)).Blocks);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Any_damage_is_refused_or_leaves_blocks_inside_the_file() =>
        Gen.Select(
            Gen.OneOf(Gen.Long[0, 0x8A], Gen.Long[0x4100000, 0x4100038], Gen.Long[TailOffset, TailOffset + 300]),
            Gen.Byte.Array[1, 8],
            Gen.Long[0, 0x4601400]).Sample((at, bytes, cut) =>
        {
            var image = ExampleImage.Build();
            bytes = bytes[..Math.Min(bytes.Length, PieceEnd(at) - (int)at)];
            image.Patch(at, bytes);
            if (cut > TailOffset)
            {
                image.Cut(cut);
            }

            var read = MappedRamReader.TryRead(image, new MappedRamLimits(MaxRam), 0, out var info, out var error);
            return read == (error is null) && (!read || info!.Blocks.All(b =>
                b.BitmapOffset >= 0 && b.BitmapOffset + b.BitmapLength <= image.Length && b.PagesOffset >= 0
                    && b.PagesEnd <= image.Length));
        }, iter: 1000);

    private static int PieceEnd(long at) => at < 0x100000 ? 0x8B : at < TailOffset ? 0x4100039 : (int)ExampleImage.Build().Length;

    private static byte[] Devices() => MappedRamLayout.Create(ExampleImage.Contents).BuildTail(ExampleImage.Devices)[31..];

    private static byte[] Offset(long value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        return bytes;
    }

    private static MappedRamImageInfo ReadOk(ImageBytes image, long baseOffset = 0)
    {
        Assert.True(MappedRamReader.TryRead(
            image, new MappedRamLimits(MaxRam), baseOffset, out var info, out var error), error);
        return info!;
    }

    private static string RefuseAny(ImageBytes image)
    {
        Assert.False(MappedRamReader.TryRead(image, new MappedRamLimits(MaxRam), 0, out var info, out var error));
        Assert.Null(info);
        Assert.StartsWith("at ", error, StringComparison.Ordinal);
        return error;
    }
}
