using CsCheck;
using DataPlane.Multifd.Compression;
using Xunit;

namespace DataPlane.Tests.Multifd.Compression;

/// <summary>What one end compresses the other decodes, packet by packet, over streams that never begin anew.</summary>
public sealed class RoundTripTests
{
    public static TheoryData<CompressionMethod, int?> Levels => new()
    {
        { CompressionMethod.Zlib, null },
        { CompressionMethod.Zlib, 0 },
        { CompressionMethod.Zlib, 1 },
        { CompressionMethod.Zlib, 2 },
        { CompressionMethod.Zlib, 9 },
        { CompressionMethod.Zstd, null },
        { CompressionMethod.Zstd, 1 },
        { CompressionMethod.Zstd, 9 },
        { CompressionMethod.Zstd, 20 },
    };

    // A packet: kinds of pages in it, how many pages, and where they are.
    private static readonly Gen<(PageKind[] Kinds, int Count, int Seed)> s_packet = Gen.Select(
        Gen.Int[0, 5].Select(static kind => (PageKind)kind).Array[1, 3],
        Gen.OneOf(Gen.Const(1), Gen.Const(128), Gen.Int[1, 128]), Gen.Int[0, 1 << 20]);

    [Theory]
    [MemberData(nameof(Levels))]
    public void Any_mix_of_pages_arrives_whole(CompressionMethod method, int? level) =>
        s_packet.Array[1, 12].Sample(
            packets =>
            {
                using var pair = new PayloadPair(method, level);
                foreach (var (kinds, count, seed) in packets)
                {
                    var pages = Choose(pair, kinds, count, seed);
                    Assert.Null(pair.Decompress(pair.Compress(pages)));
                    foreach (var page in pages)
                    {
                        Assert.True(pair.SourcePage(page).SequenceEqual(pair.TargetPageAt(page)), $"page {page}");
                    }
                }
            },
            iter: level == 20 ? 8 : 40);

    [Theory]
    [InlineData(CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zstd)]
    public void The_window_is_kept_from_packet_to_packet(CompressionMethod method)
    {
        using var pair = new PayloadPair(method);
        for (var page = 0; page < 4; page++)
        {
            PageContents.Fill(pair.SourcePage(page), PageKind.Text, seed: 7);
        }

        var first = pair.Compress([0]);
        var second = pair.Compress([1]);
        var third = pair.Compress([2]);
        Assert.True(second.Payload.Length * 4 < first.Payload.Length, $"{second.Payload.Length} after {first.Payload.Length}");
        foreach (var packet in new[] { first, second, third })
        {
            Assert.Null(pair.Decompress(packet));
        }
    }

    [Fact]
    public void Matches_reach_behind_stored_pages_only_where_both_ends_see_the_same()
    {
        // Text, then random pages past the window, then the same text: a match that deflate remembers from before them would be wrong.
        using var pair = new PayloadPair(CompressionMethod.Zlib, 9);
        for (var page = 0; page < PayloadPair.Pages; page++)
        {
            PageContents.Fill(pair.SourcePage(page),
                page is > 3 and < 100 ? PageKind.Random : PageKind.Text, seed: page is > 3 and < 100 ? page : page % 4);
        }

        foreach (var pages in (int[][])
            [
                [0, 1, 2, 3], [.. Enumerable.Range(4, 5)], [100, 101], [.. Enumerable.Range(4, 90)],
                [.. Enumerable.Range(200, 64)], [5], [300],
            ])
        {
            Assert.Null(pair.Decompress(pair.Compress(pages)));
            Assert.All(pages, page => Assert.True(pair.SourcePage(page).SequenceEqual(pair.TargetPageAt(page)), $"page {page}"));
        }
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib, null, 256)]
    [InlineData(CompressionMethod.Zlib, 0, 256)]
    [InlineData(CompressionMethod.Zlib, 9, 256)]
    [InlineData(CompressionMethod.Zstd, null, 256)]
    [InlineData(CompressionMethod.Zstd, 9, 256)]
    public void Incompressible_pages_grow_by_next_to_nothing(CompressionMethod method, int? level, int most)
    {
        using var pair = new PayloadPair(method, level);
        int[] pages = [.. Enumerable.Range(0, 128)];
        foreach (var page in pages)
        {
            PageContents.Fill(pair.SourcePage(page), PageKind.Random, page);
        }

        Assert.InRange(pair.Compress(pages).Payload.Length, 128 * TargetPage.Size, (128 * TargetPage.Size) + most);
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib, PageKind.Text, "7801")]
    [InlineData(CompressionMethod.Zlib, PageKind.Random, "7801")]
    [InlineData(CompressionMethod.Zstd, PageKind.Text, "28B52FFD0048")]
    public void A_stream_begins_as_that_of_QEMU(CompressionMethod method, PageKind kind, string begin)
    {
        using var pair = new PayloadPair(method, 1);
        PageContents.Fill(pair.SourcePage(0), kind, 1);
        Assert.StartsWith(begin, Convert.ToHexString(pair.Compress([0]).Payload), StringComparison.Ordinal);
        Assert.DoesNotContain(begin, Convert.ToHexString(pair.Compress([0]).Payload.AsSpan(0, 6)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zstd)]
    public void A_packet_of_zero_pages_adds_nothing_to_the_stream(CompressionMethod method)
    {
        using var pair = new PayloadPair(method);
        PageContents.Fill(pair.SourcePage(0), PageKind.Text, 1);
        Assert.Empty(pair.Compress([]).Payload);
        Assert.Null(pair.Decompress(pair.Compress([0])));
        Assert.Empty(pair.Compress([]).Payload);
        Assert.Null(pair.Decompress(pair.Compress([0])));
    }

    [Fact]
    public void Every_zlib_packet_ends_with_an_empty_block_as_that_of_QEMU()
    {
        using var pair = new PayloadPair(CompressionMethod.Zlib);
        PageContents.Fill(pair.SourcePage(0), PageKind.Text, 1);
        PageContents.Fill(pair.SourcePage(1), PageKind.Random, 1);
        Assert.All((int[][])[[0], [1], [0, 1]], pages =>
            Assert.EndsWith("0000FFFF", Convert.ToHexString(pair.Compress(pages).Payload), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(PageKind.Random, true)]
    [InlineData(PageKind.Zeros, false)]
    [InlineData(PageKind.Text, false)]
    [InlineData(PageKind.Repeated, false)]
    [InlineData(PageKind.HalfRandom, false)]
    [InlineData(PageKind.Counters, false)]
    public unsafe void Incompressible_pages_are_told_from_others(PageKind kind, bool expected)
    {
        var page = new byte[TargetPage.Size];
        for (var seed = 0; seed < 500; seed++)
        {
            PageContents.Fill(page, kind, seed);
            fixed (byte* start = page)
            {
                Assert.Equal(expected, IncompressiblePage.Test(start));
            }
        }
    }

    private static int[] Choose(PayloadPair pair, PageKind[] kinds, int count, int seed)
    {
        var random = new Random(seed);
        var stride = random.Next(1, 4);
        var first = random.Next(PayloadPair.Pages - ((count - 1) * stride));
        int[] pages = [.. Enumerable.Range(0, count).Select(i => first + (i * stride))];
        var contents = random.Next(1, 20);
        foreach (var page in pages)
        {
            // Few different pages: matches reach from packet to packet.
            PageContents.Fill(pair.SourcePage(page), kinds[random.Next(kinds.Length)], (seed % 5) + random.Next(contents));
        }

        return pages;
    }
}
