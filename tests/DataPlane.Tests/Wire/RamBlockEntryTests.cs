using System.Buffers;
using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class RamBlockEntryTests
{
    private const ulong AdvisedBoth = 0x201000;
    private const string EndOfSection = "00 00 00 00 00 00 00 10";
    private const string Flush = "00 00 00 00 00 00 02 00";

    private static readonly byte[] s_ram = Hex.Bytes("06 70 63 2E 72 61 6D 00 00 00 00 04 00 00 00");
    private static readonly byte[] s_huge = Hex.Bytes("06 \"pc.ram\" 00 00 00 00 04 00 00 00  00 00 00 00 00 20 00 00");

    [Fact]
    public void Entry_of_the_documentation_round_trips()
    {
        var entry = ParseOk(s_ram, new RamBlockEntryOptions(0x4082000), s_ram.Length);
        Assert.Equal(new RamBlockEntry("pc.ram", 64 << 20), entry);
        Assert.Equal(s_ram, Write(entry));
        CodecAssert.ParsesOnlyWhole(s_ram, Parser(new RamBlockEntryOptions(0x4082000)));
    }

    [Fact]
    public void A_huge_block_announces_its_page_size_between_entries_and_at_the_end_of_the_list()
    {
        foreach (var remaining in (long[])[64 << 20, 65 << 20])
        {
            var options = new RamBlockEntryOptions(remaining, AdvisedBoth);
            var entry = ParseOk(s_huge, options, s_huge.Length);
            Assert.Equal(2 << 20, entry.PageSize);
            Assert.Equal(s_huge, Write(entry));
            CodecAssert.ParsesOnlyWhole(s_huge, Parser(options));
        }
    }

    [Fact]
    public void With_postcopy_the_next_name_shows_that_there_is_no_page_size()
    {
        var options = new RamBlockEntryOptions((64 << 20) + 4096, AdvisedBoth);
        Assert.Equal(OperationStatus.NeedMoreData, Parser(options)(s_ram, out _, out _));
        var entry = ParseOk([.. s_ram, 0x01], options, s_ram.Length);
        Assert.Equal(4096, entry.PageSize);
    }

    [Theory]
    [InlineData(EndOfSection)]
    [InlineData(Flush)]
    public void With_postcopy_the_record_behind_the_list_shows_that_there_is_no_page_size(string next)
    {
        var options = new RamBlockEntryOptions(64 << 20, AdvisedBoth);
        var record = Hex.Bytes(next);
        for (var length = 0; length < record.Length; length++)
        {
            Assert.Equal(OperationStatus.NeedMoreData, Parser(options)([.. s_ram, .. record[..length]], out _, out _));
        }

        Assert.Equal(4096, ParseOk([.. s_ram, .. record], options, s_ram.Length).PageSize);
    }

    [Theory]
    [InlineData("00 00 00 00 00 30 00 00")]
    [InlineData("00 00 00 00 00 00 08 00")]
    [InlineData("00 00 00 00 00 40 00 00")]
    [InlineData("00 00 00 00 80 00 00 00")]
    [InlineData("00 00 00 00 00 00 00 00")]
    public void A_page_size_that_was_not_advised_is_refused(string pageSize) =>
        CodecAssert.Refuses([.. s_ram, .. Hex.Bytes(pageSize)], Parser(new RamBlockEntryOptions(65 << 20, AdvisedBoth)), "page size");

    [Fact]
    public void A_length_that_is_no_multiple_of_the_page_size_is_refused() =>
        CodecAssert.Refuses(
            Hex.Bytes("01 \"b\" 0000000000201000 0000000000200000"),
            Parser(new RamBlockEntryOptions(0x201000, AdvisedBoth)),
            "page size 2097152");

    [Fact]
    public void One_gigabyte_pages_are_the_largest()
    {
        var record = Hex.Bytes("01 \"b\" 0000000080000000 0000000040000000");
        Assert.Equal(1L << 30, ParseOk(record, new RamBlockEntryOptions(1L << 31, 0x40001000), record.Length).PageSize);
        CodecAssert.Refuses(
            Hex.Bytes("01 \"b\" 0000000080000000 0000000080000000"), Parser(new RamBlockEntryOptions(1L << 31, 0xC0001000)), "page size");
    }

    [Fact]
    public void With_ignore_shared_an_address_follows()
    {
        var options = new RamBlockEntryOptions(1 << 18, IgnoreShared: true);
        var record = Hex.Bytes("07 \"pc.bios\" 0000000000040000 00000000FFFC0000");
        var entry = ParseOk(record, options, record.Length);
        Assert.Equal(0xFFFC0000u, entry.GuestPhysicalAddress);
        Assert.Equal(record, Write(entry));
        CodecAssert.ParsesOnlyWhole(record, Parser(options));
    }

    [Theory]
    [InlineData("00", "no name")]
    [InlineData("02 62 0A", "not text")]
    [InlineData("02 C3 28", "not text")]
    [InlineData("01 \"b\" 0000000000000000", "length 0")]
    [InlineData("01 \"b\" 0000000000000FFF", "length 4095")]
    [InlineData("01 \"b\" 0000000000001001", "length 4097")]
    [InlineData("01 \"b\" 0000000000003000", "only 8192 bytes")]
    [InlineData("01 \"b\" FFFFFFFFFFFFF000", "only 8192 bytes")]
    public void Names_and_lengths_are_checked(string hex, string because) =>
        CodecAssert.Refuses(Hex.Bytes(hex), Parser(new RamBlockEntryOptions(8192)), because);

    [Fact]
    public void Round_trip_of_any_entry() =>
        Gen.Select(Gen.Char.AlphaNumeric.Array[1, 255], Gen.Long[1, 1L << 40], Gen.ULong.Nullable()).Sample((name, pages, address) =>
        {
            var entry = new RamBlockEntry(new string(name), pages * 4096, 4096, address);
            return ParseOk(
                Write(entry), new RamBlockEntryOptions(entry.Length, IgnoreShared: address is not null), Write(entry).Length) == entry;
        });

    [Fact]
    public void Anything_may_arrive()
    {
        byte[][] seeds = [[.. s_ram, 1], s_huge, [.. s_ram, .. Hex.Bytes(EndOfSection)]];
        CodecAssert.SurvivesAnything(seeds, Parser(new RamBlockEntryOptions(64 << 20)));
        CodecAssert.SurvivesAnything(seeds, Parser(new RamBlockEntryOptions(64 << 20, AdvisedBoth)), lookAhead: 8);
        CodecAssert.SurvivesAnything(seeds, Parser(new RamBlockEntryOptions(65 << 20, AdvisedBoth)), lookAhead: 8);
        CodecAssert.SurvivesAnything(seeds, Parser(new RamBlockEntryOptions(65 << 20, IgnoreShared: true)));
    }

    private static Parser Parser(RamBlockEntryOptions options) =>
        (ReadOnlySpan<byte> source, out int consumed, out string? error) =>
            RamBlockEntry.Parse(source, options, out _, out consumed, out error);

    private static RamBlockEntry ParseOk(byte[] bytes, RamBlockEntryOptions options, int size)
    {
        Assert.Equal(
            OperationStatus.Done, RamBlockEntry.Parse(bytes, options, out var entry, out var consumed, out var error));
        Assert.Equal(size, consumed);
        Assert.Null(error);
        return entry;
    }

    private static byte[] Write(RamBlockEntry entry)
    {
        var buffer = new ArrayBufferWriter<byte>();
        entry.Write(buffer);
        return buffer.WrittenSpan.ToArray();
    }
}
