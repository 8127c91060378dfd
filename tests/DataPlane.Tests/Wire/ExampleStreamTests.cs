using System.Buffers;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

/// <summary>The beginning of a captured stream (QEMU 11.1, pc-q35-10.0, return path), read element by element and written again.</summary>
public sealed class ExampleStreamTests
{
    private static readonly (string Name, long Length)[] s_blocks =
    [
        ("pc.ram", 64 << 20), ("/rom@etc/acpi/tables", 0x20000), ("pc.bios", 0x40000), ("pc.rom", 0x20000),
        ("/rom@etc/table-loader", 0x1000), ("/rom@etc/acpi/rsdp", 0x1000),
    ];

    private static readonly byte[] s_stream = Hex.Bytes("""
        51 45 56 4D 00 00 00 03 07 00 00 00 0B 70 63 2D 71 33 35 2D 31 30 2E 30
        08 00 01 00 00
        08 00 02 00 04 00 00 00 01
        01 00 00 00 01 03 72 61 6D 00 00 00 00 00 00 00 04
        00 00 00 00 04 08 20 04
        06 70 63 2E 72 61 6D 00 00 00 00 04 00 00 00
        14 2F 72 6F 6D 40 65 74 63 2F 61 63 70 69 2F 74 61 62 6C 65 73 00 00 00 00 00 02 00 00
        07 70 63 2E 62 69 6F 73 00 00 00 00 00 04 00 00
        06 70 63 2E 72 6F 6D 00 00 00 00 00 02 00 00
        15 "/rom@etc/table-loader" 00 00 00 00 00 00 10 00
        12 "/rom@etc/acpi/rsdp" 00 00 00 00 00 00 10 00
        00 00 00 00 00 00 00 10  7E 00 00 00 01
        02 00 00 00 01  00 00 00 00 00 00 00 08  06 70 63 2E 72 61 6D
        """);

    [Fact]
    public void Every_element_is_where_the_one_before_it_ends()
    {
        ReadOnlySpan<byte> rest = s_stream;
        Assert.True(StreamHeader.TryRead(rest, out _));
        rest = rest[StreamHeader.Size..];
        Assert.Equal(
            OperationStatus.Done, ConfigurationSection.Parse(rest, out var configuration, out var consumed, out _));
        Assert.Equal("pc-q35-10.0", configuration!.MachineName);
        rest = rest[consumed..];
        Assert.True(CommandHeader.TryRead(rest, out var open, out _));
        Assert.Equal((CommandType.OpenReturnPath, 0), (open.Type, open.Length));
        rest = rest[CommandHeader.Size..];
        Assert.True(CommandHeader.TryRead(rest, out var ping, out _));
        Assert.Equal((CommandType.Ping, 4), (ping.Type, ping.Length));
        rest = rest[(CommandHeader.Size + ping.Length)..];
        Assert.Equal(OperationStatus.Done, SectionHeader.Parse(rest, out var start, out consumed, out _));
        Assert.True(start.Name.SequenceEqual("ram"u8));
        Assert.Equal((SectionType.Start, 1u, 0u, 4u), (start.Type, start.Id, start.Instance, start.Version));
        rest = rest[consumed..];

        Assert.Equal(OperationStatus.Done, RamRecordHeader.Parse(rest, out var total, out consumed, out _));
        Assert.Equal(RamFlags.MemorySize, total.Kind);
        rest = rest[consumed..];
        Assert.True(RamBlockList.TryBegin(total.Offset, 1 << 30, out var list, out _));
        while (!list!.IsComplete)
        {
            var options = new RamBlockEntryOptions(list.RemainingBytes);
            Assert.Equal(OperationStatus.Done, RamBlockEntry.Parse(rest, options, out var entry, out consumed, out _));
            Assert.True(list.TryAdd(entry, out _));
            rest = rest[consumed..];
        }

        Assert.Equal(s_blocks, list.Entries.Select(e => (e.Name, e.Length)));
        Assert.Equal(OperationStatus.Done, RamRecordHeader.Parse(rest, out var end, out consumed, out _));
        Assert.Equal(RamFlags.EndOfSection, end.Kind);
        rest = rest[consumed..];
        Assert.True(SectionFooter.TryRead(rest, 1, out _));
        rest = rest[SectionFooter.Size..];
        Assert.Equal(OperationStatus.Done, SectionHeader.Parse(rest, out var part, out consumed, out _));
        Assert.Equal((SectionType.Part, 1u), (part.Type, part.Id));
        rest = rest[consumed..];
        Assert.Equal(OperationStatus.Done, RamRecordHeader.Parse(rest, out var page, out consumed, out _));
        Assert.Equal((RamFlags.Page, 0L), (page.Kind, page.Offset));
        Assert.Equal(rest.Length, consumed);
    }

    [Fact]
    public void The_writers_make_the_same_bytes()
    {
        var stream = new ArrayBufferWriter<byte>();
        StreamHeader.Write(stream.GetSpan(StreamHeader.Size));
        stream.Advance(StreamHeader.Size);
        new ConfigurationSection { MachineName = "pc-q35-10.0" }.Write(stream);
        stream.Advance(CommandWriter.WriteOpenReturnPath(stream.GetSpan(CommandWriter.MaxSize)));
        stream.Advance(CommandWriter.WritePing(stream.GetSpan(CommandWriter.MaxSize), 1));
        stream.Advance(SectionHeader.Write(stream.GetSpan(SectionHeader.MaxSize), SectionType.Start, 1, "ram"u8, 0, 4));
        stream.Advance(RamRecordHeader.Write(stream.GetSpan(RamRecordHeader.MaxSize), RamFlags.MemorySize, s_blocks.Sum(b => b.Length)));
        foreach ((var name, var length) in s_blocks)
        {
            new RamBlockEntry(name, length).Write(stream);
        }

        stream.Advance(RamRecordHeader.Write(stream.GetSpan(RamRecordHeader.MaxSize), RamFlags.EndOfSection, 0));
        SectionFooter.Write(stream.GetSpan(SectionFooter.Size), 1);
        stream.Advance(SectionFooter.Size);
        stream.Advance(SectionHeader.Write(stream.GetSpan(SectionHeader.MaxSize), SectionType.Part, 1));
        stream.Advance(RamRecordHeader.Write(stream.GetSpan(RamRecordHeader.MaxSize), RamFlags.Page, 0, "pc.ram"u8));
        Assert.Equal(s_stream, stream.WrittenSpan.ToArray());
    }
}
