using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class PostcopyCommandTests
{
    private static readonly byte[] s_discard = Hex.Bytes("00 06 \"pc.ram\" 00 0000000000005000 0000000000001000");
    private static readonly byte[] s_package =
        Hex.Bytes("08 0004 0000  04 AABB 7E 00000007  08 0002 0004 00000003  08 0002 0004 00000042  08 0005 0000");

    [Fact]
    public void Commands_of_postcopy_are_written_as_documented()
    {
        var bytes = new byte[CommandWriter.MaxSize];
        Assert.Equal(Hex.Bytes("08 0004 0000"), bytes[..CommandWriter.WriteListen(bytes)]);
        Assert.Equal(Hex.Bytes("08 0005 0000"), bytes[..CommandWriter.WriteRun(bytes)]);
        Assert.Equal(Hex.Bytes("08 0007 0004 00008136"), bytes[..CommandWriter.WritePackaged(bytes, 0x8136)]);
        Assert.Equal(Hex.Bytes("08 0009 0000"), bytes[..CommandWriter.WriteResume(bytes)]);
        Assert.Equal(Hex.Bytes("08 000A 0007 06 \"pc.ram\""), bytes[..CommandWriter.WriteReceivedBitmap(bytes, "pc.ram"u8)]);
        Assert.Equal(
            [.. Hex.Bytes("08 0006 0019"), .. s_discard],
            bytes[..CommandWriter.WriteDiscard(bytes, "pc.ram"u8, [new ByteRange(0x5000, 0x1000)])]);
    }

    [Fact]
    public void The_longest_discard_fits()
    {
        var bytes = new byte[CommandWriter.MaxSize];
        var ranges = Enumerable.Repeat(new ByteRange(0, 4096), PostcopyDiscard.RangesPerCommand).ToArray();
        Assert.Equal(bytes.Length, CommandWriter.WriteDiscard(bytes, new byte[255], ranges));
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandWriter.WriteDiscard(bytes, new byte[255], [.. ranges, ranges[0]]));
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandWriter.WriteDiscard(bytes, new byte[255], []));
    }

    [Fact]
    public void A_discard_is_read_with_its_ranges() =>
        Gen.Select(Gen.Byte.Array[1, 255], Gen.Select(Gen.Long[0, 1 << 20], Gen.Long[1, 1 << 20]).Array[1, 12]).Sample((name, pages) =>
        {
            ByteRange[] ranges = [.. pages.Select(p => new ByteRange(p.Item1 * 4096, p.Item2 * 4096))];
            var bytes = new byte[PostcopyDiscard.MaxSize];
            var size = PostcopyDiscard.Write(bytes, name, ranges);
            return PostcopyDiscard.TryRead(bytes.AsSpan(0, size), out var discard, out _)
                && discard.BlockName.SequenceEqual(name) && discard.RangeCount == ranges.Length && Same(discard, ranges);
        });

    [Theory]
    [InlineData("01 01 62 00 0000000000005000 0000000000001000", "version 1")]
    [InlineData("00 00 00 0000000000005000 0000000000001000", "no terminated block name")]
    [InlineData("00 01 62 01 0000000000005000 0000000000001000", "no terminated block name")]
    [InlineData("00 01 62 00", "0 bytes of ranges")]
    [InlineData("00 01 62 00 0000000000005000", "8 bytes of ranges")]
    [InlineData("00 01 62 00 0000000000005001 0000000000001000", "not a number of pages")]
    [InlineData("00 01 62 00 0000000000005000 0000000000000FFF", "not a number of pages")]
    [InlineData("00 01 62 00 0000000000005000 0000000000000000", "not a number of pages")]
    [InlineData("00 01 62 00 8000000000000000 0000000000001000", "not a number of pages")]
    [InlineData("00 01 62 00 0000000000001000 8000000000000000", "not a number of pages")]
    [InlineData("00 01 62 00 7FFFFFFFFFFFF000 7FFFFFFFFFFFF000", "not a number of pages")]
    [InlineData("00 09 62 00 0000", "ends inside its block name")]
    public void Wrong_discards_are_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), ReadDiscard, because);

    [Theory]
    [InlineData(0x6000, 0x1000, true)]
    [InlineData(0x5FFF, 0x1000, false)]
    [InlineData(0x5000, 0x1000, false)]
    [InlineData(0x200000, 0x200000, false)]
    public void Ranges_stay_inside_their_block_and_its_pages(long blockLength, long pageSize, bool legal)
    {
        Assert.True(PostcopyDiscard.TryRead(s_discard, out var discard, out _));
        Assert.Equal(legal, discard.TryCheckRanges(blockLength, pageSize, out var error));
        Assert.Equal(legal, error is null);
    }

    [Fact]
    public void A_package_is_taken_apart_from_both_ends()
    {
        Assert.True(PostcopyPackage.TryRead(s_package, out var package, out _));
        Assert.Equal(Hex.Bytes("04 AABB 7E 00000007"), s_package.AsSpan(package.DevicesStart, package.DevicesLength));
        Assert.Equal([3u, PostcopyPackage.LoadedPing], package.Pings);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_package_of_ours_has_one_ping_and_one_more_with_a_preempt_channel(bool preempt)
    {
        var devices = Hex.Bytes("04 00 7E 00000007");
        var bytes = new byte[devices.Length + PostcopyPackage.Overhead(preempt)];
        var head = PostcopyPackage.WriteHead(bytes);
        devices.CopyTo(bytes, head);
        Assert.Equal(PostcopyPackage.Overhead(preempt), head + PostcopyPackage.WriteTail(bytes.AsSpan(head + devices.Length), preempt));
        Assert.True(PostcopyPackage.TryRead(bytes, out var package, out _));
        Assert.Equal((head, devices.Length), (package.DevicesStart, package.DevicesLength));
        Assert.Equal(
            preempt ? [PostcopyPackage.PreemptPing, PostcopyPackage.LoadedPing] : [PostcopyPackage.LoadedPing], package.Pings);
    }

    [Theory]
    [InlineData("", "begin with POSTCOPY_LISTEN")]
    [InlineData("08 0005 0000", "begin with POSTCOPY_LISTEN")]
    [InlineData("08 0004 0000", "end with POSTCOPY_RUN")]
    [InlineData("08 0004 0000 04 7E 00000007", "end with POSTCOPY_RUN")]
    [InlineData("08 0004 0000 08 0005 0000", "no device state")]
    [InlineData("08 0004 0000 08 0002 0004 00000003 08 0005 0000", "no device state")]
    [InlineData("08 0004 0000 05 7E 00000007 08 0005 0000", "byte 05 instead of a device section")]
    [InlineData("08 0004 0000 04 00 7D 00000007 08 0005 0000", "section footer")]
    [InlineData("08 0004 0000 04 08 0005 0000", "section footer")]
    public void Wrong_packages_are_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), ReadPackage, because);

    [Fact]
    public void Anything_may_arrive()
    {
        CodecAssert.SurvivesAnything([s_discard], ReadDiscard);
        CodecAssert.SurvivesAnything([s_package], ReadPackage);
    }

    private static bool Same(PostcopyDiscard discard, ByteRange[] ranges)
    {
        for (var i = 0; i < ranges.Length; i++)
        {
            if (discard[i] != ranges[i])
            {
                return false;
            }
        }

        return true;
    }

    private static bool ReadDiscard(ReadOnlySpan<byte> source, out string? error) => PostcopyDiscard.TryRead(source, out _, out error);

    private static bool ReadPackage(ReadOnlySpan<byte> source, out string? error) => PostcopyPackage.TryRead(source, out _, out error);
}
