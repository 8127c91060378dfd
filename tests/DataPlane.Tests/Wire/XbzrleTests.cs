using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class XbzrleTests
{
    [Fact]
    public void Delta_of_the_documentation_changes_four_bytes()
    {
        var page = new byte[4096];
        Assert.True(Xbzrle.TryApply(Hex.Bytes("10 04 AA BB CC DD"), page, out var error), error);
        var expected = new byte[4096];
        Hex.Bytes("AA BB CC DD").CopyTo(expected, 16);
        Assert.Equal(expected, page);
    }

    [Theory]
    [InlineData(0x7F, "7F")]
    [InlineData(0x80, "80 01")]
    [InlineData(4095, "FF 1F")]
    [InlineData(4096, "80 20")]
    public void Lengths_have_one_or_two_bytes(int length, string hex)
    {
        var encoded = Hex.Bytes(hex);
        var page = new byte[length + 1];
        Assert.True(Xbzrle.TryApply([.. encoded, 0x01, 0xEE], page, out _));
        Assert.Equal(0xEE, page[length]);

        var ours = new List<byte>();
        XbzrleEncoder.AppendLength(ours, length);
        Assert.Equal(encoded, ours);
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("10", "ends in a changed run")]
    [InlineData("80", "ends in the length of an unchanged run")]
    [InlineData("80 80 01 01 AA", "ends in the length of an unchanged run")]
    [InlineData("10 84", "ends in a changed run")]
    [InlineData("10 04 AA BB CC", "ends in a changed run")]
    [InlineData("10 00", "empty changed run")]
    [InlineData("00 01 AA 00 01 BB", "empty unchanged run")]
    [InlineData("00 01 AA 10", "ends in a changed run")]
    [InlineData("80 20 01 AA", "over the end of the page")]
    [InlineData("FF 1F 02 AA BB", "over the end of the page")]
    [InlineData("FF 7F 01 AA", "over the end of the page")]
    public void Violations_are_refused(string hex, string because)
    {
        Assert.False(Xbzrle.TryApply(Hex.Bytes(hex), new byte[4096], out var error));
        Assert.Contains(because, error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_last_byte_of_the_page_can_change()
    {
        var page = new byte[4096];
        Assert.True(Xbzrle.TryApply(Hex.Bytes("FF 1F 01 AA"), page, out _));
        Assert.Equal(0xAA, page[4095]);
    }

    [Fact]
    public void A_changed_run_may_begin_the_page_and_fill_it()
    {
        var page = new byte[4096];
        byte[] content = [.. Enumerable.Range(0, 4096).Select(i => (byte)(i * 7))];
        Assert.True(Xbzrle.TryApply([0x00, 0x80, 0x20, .. content], page, out _));
        Assert.Equal(content, page);
    }

    [Fact]
    public void What_the_encoder_makes_is_applied_exactly() =>
        Gen.Select(Gen.Int[0, int.MaxValue], Gen.Select(Gen.Int[0, 4095], Gen.Int[1, 300]).Array[1, 12]).Sample((seed, changes) =>
        {
            var before = new byte[4096];
            new Random(seed).NextBytes(before);
            byte[] after = [.. before];
            foreach ((var at, var count) in changes)
            {
                for (var i = at; i < Math.Min(at + count, after.Length); i++)
                {
                    after[i] ^= (byte)(1 + i % 200);
                }
            }

            var delta = XbzrleEncoder.Encode(before, after);
            return before.AsSpan().SequenceEqual(after) || (Xbzrle.TryApply(delta, before, out _) && before.AsSpan().SequenceEqual(after));
        });

    [Fact]
    public void A_delta_cut_anywhere_is_refused_unless_the_cut_is_between_runs()
    {
        var delta = Hex.Bytes("10 02 AA BB  05 01 CC");
        for (var length = 0; length < delta.Length; length++)
        {
            Assert.Equal(length == 4, Xbzrle.TryApply(delta.AsSpan(0, length), new byte[4096], out _));
        }
    }

    [Fact]
    public void Any_delta_leaves_the_bytes_around_the_page_alone() =>
        CodecAssert.Damaged([Hex.Bytes("10 04 AA BB CC DD 05 01 CC"), Hex.Bytes("FF 1F 01 AA")]).Sample(delta =>
        {
            var memory = new byte[3 * 4096];
            var applied = Xbzrle.TryApply(delta, memory.AsSpan(4096, 4096), out var error);
            return applied == (error is null) && !memory.AsSpan(0, 4096).ContainsAnyExcept((byte)0)
                && !memory.AsSpan(8192).ContainsAnyExcept((byte)0);
        });
}
