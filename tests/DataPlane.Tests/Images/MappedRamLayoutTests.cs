using DataPlane.Images;
using DataPlane.Tests.MainStream.Devices;
using DataPlane.Tests.Wire;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class MappedRamLayoutTests
{
    [Fact]
    public void Head_of_a_file_of_QEMU_is_rebuilt_byte_for_byte()
    {
        var layout = MappedRamLayout.Create(ExampleImage.Contents);
        Assert.Equal(0, layout.Pieces[0].Offset);
        Assert.Equal(0x8B, layout.Pieces[0].Bytes.Length);
        Assert.Equal(Hex.Bytes("""
            51 45 56 4D 00 00 00 03 07 00 00 00 0B "pc-q35-10.0"
            05 1A "configuration/capabilities" 00 00 00 01 00 00 00 01 0A "mapped-ram"
            01 00 00 00 01 03 "ram" 00 00 00 00 00 00 00 04  00 00 00 00 04 08 20 04
            06 "pc.ram" 00 00 00 00 04 00 00 00
            00 00 00 01  00 00 00 00 00 00 10 00  00 00 00 00 00 00 00 8B  00 00 00 00 00 10 00 00
            """), layout.Pieces[0].Bytes.ToArray());
    }

    [Fact]
    public void Places_are_those_of_a_file_of_QEMU()
    {
        var layout = MappedRamLayout.Create(ExampleImage.Contents);
        Assert.Equal(new MappedRamBlock("pc.ram", 64 << 20, 0x8B, 0x100000), layout.Blocks[0]);
        Assert.Equal((0x4000L, 0x800L, 0x4100000L), (layout.Blocks[0].PageCount, layout.Blocks[0].BitmapLength, layout.Blocks[0].PagesEnd));
        Assert.Equal(0x4100000, layout.Pieces[1].Offset);
        Assert.Equal(new MappedRamBlock("/rom@etc/acpi/tables", 0x20000, 0x4100039, 0x4200000), layout.Blocks[1]);
        Assert.Equal(
            Hex.Bytes("14 \"/rom@etc/acpi/tables\" 00 00 00 00 00 02 00 00 00000001 0000000000001000 0000000004100039 0000000004200000"),
            layout.Pieces[1].Bytes.ToArray());
        Assert.Equal(0x4600000, layout.Blocks[5].PagesOffset);
        Assert.Equal(0x4601000, layout.TailOffset);
    }

    [Fact]
    public void Tail_is_that_of_QEMU_without_what_may_be_left_out()
    {
        var tail = MappedRamLayout.Create(ExampleImage.Contents).BuildTail(ExampleImage.Devices);
        byte[] expected =
        [
            .. Hex.Bytes("00 00 00 00 00 00 00 10 7E 00 00 00 01  03 00 00 00 01 00 00 00 00 00 00 00 10 7E 00 00 00 01"),
            .. ExampleImage.Devices.Sections.Span,
            .. DeviceStreamBuilder.Description(System.Text.Encoding.UTF8.GetString(ExampleImage.Devices.Description.Span)),
        ];
        Assert.Equal(expected, tail);
        Assert.Equal(Hex.Bytes("04 00 00 00 06 04 \"apic\" 00 00 00 00 00 00 00 03"), tail[31..49]);
    }

    [Fact]
    public void Early_sections_stand_in_the_head_or_else_in_the_tail_but_once()
    {
        var early = DeviceStreamBuilder.Section("early", [1, 2, 3], id: 9);
        var state = new DeviceState(early, ExampleImage.Devices.Sections, ExampleImage.Devices.Description, []);
        var without = MappedRamLayout.Create(ExampleImage.Contents).BuildTail(ExampleImage.Devices);
        Assert.Equal(without, MappedRamLayout.Create(ExampleImage.Contents with { EarlySections = early }).BuildTail(state));
        Assert.Equal([.. without[..13], .. early, .. without[13..]], MappedRamLayout.Create(ExampleImage.Contents).BuildTail(state));
        Assert.Throws<ArgumentException>(
            () => MappedRamLayout.Create(ExampleImage.Contents with { EarlySections = early }).BuildTail(ExampleImage.Devices));
    }

    [Theory]
    [InlineData(4096)]
    [InlineData(1000)]
    public void A_base_offset_moves_everything_but_pages_stay_aligned(long baseOffset)
    {
        var layout = MappedRamLayout.Create(ExampleImage.Contents with { BaseOffset = baseOffset });
        Assert.Equal(baseOffset, layout.Pieces[0].Offset);
        Assert.Equal(baseOffset + 0x8B, layout.Blocks[0].BitmapOffset);
        Assert.All(layout.Blocks, b => Assert.Equal(0, b.PagesOffset % 0x100000));
    }

    [Fact]
    public void Uuid_page_bits_and_early_sections_are_kept_and_stream_only_fields_dropped()
    {
        var early = DeviceStreamBuilder.Section("0000:00:01.0/virtio-mem-device-early", [1, 2, 3], id: 9);
        var layout = MappedRamLayout.Create(ExampleImage.Contents with
        {
            Uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
            TargetPageBits = 12,
            EarlySections = early,
            RamSectionId = 3,
            Blocks = [new RamBlockEntry("pc.ram", 64 << 20, PageSize: 2 << 20)],
        });
        var head = layout.Pieces[0].Bytes.ToArray();
        Assert.Equal(Hex.Bytes("05 1E \"configuration/target-page-bits\" 00000001 0000000C 05 1A"), head[24..66]);
        byte[] expectedEnd =
        [
            .. Hex.Bytes("05 12 \"configuration/uuid\" 00000001 00112233445566778899aabbccddeeff"), .. early,
            .. Hex.Bytes(
                "01 00000003 03 \"ram\" 00000000 00000004 0000000004000004 06 \"pc.ram\" 0000000004000000 00000001 0000000000001000"),
        ];
        Assert.Equal(expectedEnd, head[^(expectedEnd.Length + 16)..^16]);
    }

    [Fact]
    public void Bitmaps_have_whole_words()
    {
        var layout =
            MappedRamLayout.Create(ExampleImage.Contents with { Blocks = [new("a", 4096), new("b", 64 * 4096), new("c", 65 * 4096)] });
        Assert.Equal([8, 8, 16], layout.Blocks.Select(b => b.BitmapLength));
    }

    [Fact]
    public void Files_longer_than_files_can_be_are_refused()
    {
        Assert.Throws<ArgumentException>(() => MappedRamLayout.Create(ExampleImage.Contents with { Blocks = [] }));
        Assert.Throws<OverflowException>(() =>
            MappedRamLayout.Create(ExampleImage.Contents with { Blocks = [new("a", long.MaxValue & ~0xFFFL)] }));
        Assert.Throws<OverflowException>(() =>
            MappedRamLayout.Create(ExampleImage.Contents with { Blocks = [new("a", 1L << 62), new("b", 1L << 62)] }));
    }
}
