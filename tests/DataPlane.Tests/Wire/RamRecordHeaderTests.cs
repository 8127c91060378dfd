using System.Buffers;
using System.Buffers.Binary;
using CsCheck;
using DataPlane.Tests.Support;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

[Collection(CountsOfTheProcess.Name)]
public sealed class RamRecordHeaderTests
{
    private static readonly byte[] s_named = Hex.Bytes("00 00 00 00 00 00 70 08  06 70 63 2E 72 61 6D");
    private static readonly byte[] s_zero = Hex.Bytes("00 00 00 00 00 00 80 22");
    private static readonly byte[] s_page = Hex.Bytes("00 00 00 00 00 00 90 28");
    private static readonly byte[] s_xbzrle = Hex.Bytes("00 00 00 00 00 00 90 60");
    private static readonly byte[] s_end = Hex.Bytes("00 00 00 00 00 00 00 10");
    private static readonly byte[] s_flush = Hex.Bytes("00 00 00 00 00 00 02 00");
    private static readonly byte[] s_total = Hex.Bytes("00 00 00 00 04 08 20 04");

    public static TheoryData<byte[], uint, long, string> Examples => new()
    {
        { s_named, 0x008, 0x7000, "pc.ram" },
        { s_zero, 0x022, 0x8000, "" },
        { s_page, 0x028, 0x9000, "" },
        { s_xbzrle, 0x060, 0x9000, "" },
        { s_end, 0x010, 0, "" },
        { s_flush, 0x200, 0, "" },
        { s_total, 0x004, 0x4082000, "" },
    };

    [Theory]
    [MemberData(nameof(Examples))]
    public void Records_of_the_documentation_round_trip(byte[] record, uint flags, long offset, string name)
    {
        Assert.Equal(OperationStatus.Done, RamRecordHeader.Parse(record, out var header, out var consumed, out _));
        Assert.Equal(record.Length, consumed);
        Assert.Equal((RamFlags)flags, header.Flags);
        Assert.Equal((RamFlags)(flags & ~0x20u), header.Kind);
        Assert.Equal(offset, header.Offset);
        Assert.Equal(name.Length > 0, header.HasName);
        Assert.Equal(name, System.Text.Encoding.ASCII.GetString(header.Name(record)));

        var written = new byte[RamRecordHeader.MaxSize];
        var size = RamRecordHeader.Write(written, header.Flags, offset, header.Name(record));
        Assert.Equal(record, written[..size]);
    }

    [Theory]
    [MemberData(nameof(Examples))]
    public void Truncated_anywhere_asks_for_more(byte[] record, uint flags, long offset, string name)
    {
        CodecAssert.ParsesOnlyWhole(record, Parse);
        Assert.True(RamRecordHeader.Write(new byte[300], (RamFlags)flags, offset, System.Text.Encoding.ASCII.GetBytes(name)) > 0);
    }

    [Fact]
    public void Exactly_the_documented_combinations_of_flags_are_legal()
    {
        HashSet<uint> bare = [0x004, 0x010, 0x200, 0x022, 0x028, 0x060, 0x120];
        HashSet<uint> named = [0x002, 0x008, 0x040, 0x100];
        byte[] record = [.. new byte[8], .. Hex.Bytes("01 \"b\"")];
        for (uint flags = 0; flags < 0x1000; flags++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(record, flags);
            var status = RamRecordHeader.Parse(record, out var header, out var consumed, out var error);
            var legal = bare.Contains(flags) || named.Contains(flags);
            Assert.Equal(legal ? OperationStatus.Done : OperationStatus.InvalidData, status);
            Assert.Equal(legal, error is null);
            Assert.Equal(bare.Contains(flags) ? 8 : named.Contains(flags) ? 10 : 0, consumed);
            if (legal)
            {
                Assert.Equal((RamFlags)flags, header.Flags);
            }
        }
    }

    [Theory]
    [InlineData("00 00 00 00 00 00 10 10", "an offset where none belongs")]
    [InlineData("00 00 00 00 00 00 12 00", "an offset where none belongs")]
    [InlineData("80 00 00 00 00 00 00 28", "2^63")]
    [InlineData("80 00 00 00 00 00 00 04", "2^63")]
    [InlineData("00 00 00 00 00 00 70 08 00", "no block name")]
    public void Wrong_offset_or_name_is_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Parse, because);

    [Fact]
    public void The_longest_name_has_255_bytes()
    {
        var record = new byte[RamRecordHeader.MaxSize];
        byte[] name = [.. Enumerable.Repeat((byte)'b', 255)];
        Assert.Equal(record.Length, RamRecordHeader.Write(record, RamFlags.Page, 0x7FFF_FFFF_FFFF_F000, name));
        CodecAssert.ParsesOnlyWhole(record, Parse);
        Assert.Throws<ArgumentException>(() => RamRecordHeader.Write(new byte[600], RamFlags.Page, 0, new byte[256]));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-4096)]
    [InlineData(4095)]
    public void Offsets_that_would_become_flags_are_never_written(long offset) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => RamRecordHeader.Write(new byte[16], RamFlags.Page | RamFlags.Continue, offset));

    [Fact]
    public void Round_trip_of_any_page_record() =>
        Gen.Select(
            Gen.OneOf(RamFlags.Page, RamFlags.Zero, RamFlags.Xbzrle, RamFlags.CompressedPage),
            Gen.Long[0, long.MaxValue >> 12],
            Gen.Byte.Array[0, 255])
            .Sample((flags, page, name) =>
            {
                var bytes = new byte[RamRecordHeader.MaxSize];
                flags |= name.Length == 0 ? RamFlags.Continue : 0;
                var size = RamRecordHeader.Write(bytes, flags, page << 12, name);
                return RamRecordHeader.Parse(bytes, out var header, out var consumed, out _) == OperationStatus.Done
                    && consumed == size && header.Flags == flags && header.Offset == page << 12 && header.Name(bytes).SequenceEqual(name);
            });

    [Fact]
    public void Anything_may_arrive() =>
        CodecAssert.SurvivesAnything([s_named, s_zero, s_page, s_xbzrle, s_end, s_flush, s_total], Parse);

    [Fact]
    public void Parsing_allocates_nothing()
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        var sum = 0;
        for (var i = 0; i < 1000; i++)
        {
            RamRecordHeader.Parse(s_named, out var header, out var consumed, out _);
            sum += consumed + header.Name(s_named).Length;
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(1000 * (15 + 6), sum);
    }

    private static OperationStatus Parse(ReadOnlySpan<byte> source, out int consumed, out string? error) =>
        RamRecordHeader.Parse(source, out _, out consumed, out error);
}
