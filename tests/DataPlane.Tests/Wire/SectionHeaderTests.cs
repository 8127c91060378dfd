using System.Buffers;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class SectionHeaderTests
{
    private static readonly byte[] s_start = Hex.Bytes("01 00 00 00 01 03 \"ram\" 00 00 00 00 00 00 00 04");
    private static readonly byte[] s_full = Hex.Bytes("04 00 00 00 27 0B \"globalstate\" 00 00 00 02 00 00 00 01");
    private static readonly byte[] s_part = Hex.Bytes("02 00 00 00 01");
    private static readonly byte[] s_end = Hex.Bytes("03 7F FF FF FF");

    [Fact]
    public void Start_and_full_carry_name_instance_and_version()
    {
        Assert.Equal(OperationStatus.Done, SectionHeader.Parse(s_full, out var header, out var consumed, out _));
        Assert.Equal(SectionType.Full, header.Type);
        Assert.Equal(0x27u, header.Id);
        Assert.True(header.Name.SequenceEqual("globalstate"u8));
        Assert.Equal(2u, header.Instance);
        Assert.Equal(1u, header.Version);
        Assert.Equal(s_full.Length, consumed);

        var written = new byte[SectionHeader.MaxSize];
        var size = SectionHeader.Write(written, SectionType.Start, 1, "ram"u8, 0, 4);
        Assert.Equal(s_start, written[..size]);
    }

    [Fact]
    public void Part_and_end_carry_the_id_alone()
    {
        Assert.Equal(OperationStatus.Done, SectionHeader.Parse(s_end, out var header, out _, out _));
        Assert.Equal(SectionType.End, header.Type);
        Assert.Equal(0x7FFFFFFFu, header.Id);
        Assert.True(header.Name.IsEmpty);

        var written = new byte[SectionHeader.MaxSize];
        var size = SectionHeader.Write(written, SectionType.Part, 1);
        Assert.Equal(s_part, written[..size]);
    }

    [Fact]
    public void Truncated_anywhere_asks_for_more()
    {
        foreach (var record in (byte[][])[s_start, s_full, s_part, s_end])
        {
            CodecAssert.ParsesOnlyWhole(record, Parse);
        }
    }

    [Fact]
    public void The_longest_name_has_255_bytes()
    {
        var written = new byte[SectionHeader.MaxSize];
        byte[] name = [.. Enumerable.Repeat((byte)'n', 255)];
        Assert.Equal(SectionHeader.MaxSize, SectionHeader.Write(written, SectionType.Full, 9, name, 1, 2));
        CodecAssert.ParsesOnlyWhole(written, Parse);
        Assert.Throws<ArgumentException>(() => SectionHeader.Write(new byte[600], SectionType.Full, 9, new byte[256], 1, 2));
        Assert.Throws<ArgumentException>(() => SectionHeader.Write(new byte[600], SectionType.Full, 9, default, 1, 2));
    }

    [Fact]
    public void A_section_without_name_is_refused() =>
        CodecAssert.Refuses(Hex.Bytes("04 00 00 00 27 00"), Parse, "no name");

    [Theory]
    [InlineData("00")]
    [InlineData("05")]
    [InlineData("06")]
    [InlineData("07")]
    [InlineData("08")]
    [InlineData("09")]
    [InlineData("7E")]
    [InlineData("FF")]
    public void Other_types_are_not_sections(string hex) => CodecAssert.Refuses(Hex.Bytes(hex), Parse, $"section type {hex}");

    [Fact]
    public void A_header_is_written_in_the_form_of_its_type()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => SectionHeader.Write(new byte[64], SectionType.Part, 1, "ram"u8, 0, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => SectionHeader.Write(new byte[64], SectionType.Start, 1));
    }

    [Fact]
    public void Anything_may_arrive() => CodecAssert.SurvivesAnything([s_start, s_full, s_part, s_end], Parse);

    private static OperationStatus Parse(ReadOnlySpan<byte> source, out int consumed, out string? error) =>
        SectionHeader.Parse(source, out _, out consumed, out error);
}
