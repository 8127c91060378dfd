using System.IO.Compression;
using CsCheck;
using Xunit;

namespace DataPlane.Tests.Multifd.Compression;

/// <summary>Payloads that are not exactly what their packet says: an error in words, and no byte beyond the packet's pages.</summary>
public sealed class HostilePayloadTests
{
    [Theory]
    [InlineData(CompressionMethod.Zlib, 3, "fewer")]
    [InlineData(CompressionMethod.Zlib, 5, "more")]
    [InlineData(CompressionMethod.Zstd, 3, "fewer")]
    [InlineData(CompressionMethod.Zstd, 5, "more")]
    public void A_payload_of_another_number_of_pages_is_refused(CompressionMethod method, int pages, string words)
    {
        using var pair = Filled(method);
        Refused(pair, pair.Compress([.. Enumerable.Range(0, pages)]).Payload, words);
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zstd)]
    public void A_payload_that_is_cut_short_is_refused(CompressionMethod method)
    {
        using var pair = Filled(method);
        var payload = pair.Compress([0, 1, 2, 3]).Payload;
        Refused(pair, payload[..(payload.Length / 2)], "fewer");
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zstd)]
    public void A_bomb_writes_the_pages_of_its_packet_and_not_a_byte_more(CompressionMethod method)
    {
        using var pair = new PayloadPair(method);
        Refused(pair, method == CompressionMethod.Zlib ? ZlibOf(new byte[256 << 20]) : ZstdBomb(), "more");
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zstd)]
    public void Garbage_is_refused(CompressionMethod method) =>
        Gen.Byte.Array[1, 20_000].Sample(
            garbage =>
            {
                using var pair = new PayloadPair(method);
                Refused(pair, garbage, "");
            },
            iter: 300);

    [Theory]
    [InlineData(CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zstd)]
    public void A_changed_byte_is_refused_or_harmless_and_never_leaves_the_packet(CompressionMethod method) =>
        Gen.Select(Gen.Double[0, 1], Gen.Byte[1, 255]).Sample(
            change =>
            {
                using var pair = Filled(method);
                var payload = pair.Compress([0, 1, 2, 3]).Payload;
                payload[(int)(change.Item1 * (payload.Length - 1))] ^= change.Item2;
                _ = pair.Decompress(payload, 4);
                AssertNothingBeyond(pair);
            },
            iter: 300);

    [Fact]
    public void Bytes_behind_the_end_of_a_zlib_stream_are_refused()
    {
        using var pair = Filled(CompressionMethod.Zlib);
        Refused(pair, [.. ZlibOf(new byte[4 * TargetPage.Size]), 1, 2, 3, 0, 0, 0xff, 0xff], "ends inside");
    }

    [Fact]
    public void A_zlib_stream_that_ends_is_refused_at_once()
    {
        using var pair = Filled(CompressionMethod.Zlib);
        Refused(pair, ZlibOf(new byte[4 * TargetPage.Size]), "ends inside");
    }

    [Fact]
    public void A_second_zlib_header_is_refused()
    {
        using var pair = Filled(CompressionMethod.Zlib);
        using var other = Filled(CompressionMethod.Zlib);
        Assert.Null(pair.Decompress(pair.Compress([0, 1, 2, 3])));
        Refused(pair, other.Compress([0, 1, 2, 3]).Payload, "");
    }

    [Fact]
    public void A_zstd_frame_per_packet_is_as_good_as_one_for_all()
    {
        using var pair = Filled(CompressionMethod.Zstd);
        for (var packet = 0; packet < 5; packet++)
        {
            Assert.Null(pair.Decompress(ZstdFrames.Zeros(4), 4));
            AssertNothingBeyond(pair);
        }

        // And a continuous one after them.
        Assert.Null(pair.Decompress(pair.Compress([0, 1, 2, 3])));
    }

    [Theory]
    [InlineData(2, 2)]
    [InlineData(4, 1)]
    public void Two_zstd_frames_in_a_packet_are_refused(int first, int second)
    {
        using var pair = new PayloadPair(CompressionMethod.Zstd);
        Refused(pair, [.. ZstdFrames.Zeros(first), .. ZstdFrames.Zeros(second)], "ends inside");
    }

    [Theory]
    [InlineData("27B52FFD")] // the format of version 0.7
    [InlineData("502A4D18")] // a frame to skip
    [InlineData("28B52F")]
    public void Other_frames_of_zstd_are_refused(string begin)
    {
        using var pair = new PayloadPair(CompressionMethod.Zstd);
        Refused(pair, [.. Convert.FromHexString(begin), .. new byte[64]], "no zstd frame");
    }

    [Theory]
    [InlineData(25, null)]
    [InlineData(26, "too much memory")]
    [InlineData(31, "too much memory")]
    public void A_zstd_window_beyond_that_of_any_QEMU_is_refused_before_it_is_allocated(int windowLog, string? words)
    {
        using var pair = new PayloadPair(CompressionMethod.Zstd);
        var error = pair.Decompress(ZstdFrames.Zeros(4, windowLog), 4);
        if (words is null)
        {
            Assert.Null(error);
        }
        else
        {
            Assert.Contains(words, error, StringComparison.Ordinal);
        }
    }

    private static PayloadPair Filled(CompressionMethod method)
    {
        var pair = new PayloadPair(method);
        for (var page = 0; page < 8; page++)
        {
            PageContents.Fill(pair.SourcePage(page), PageKind.Text, page);
        }

        return pair;
    }

    /// <summary>As the payload of a packet of four pages.</summary>
    private static void Refused(PayloadPair pair, byte[] payload, string words)
    {
        var error = pair.Decompress(payload, 4);
        Assert.NotNull(error);
        Assert.Contains(words, error, StringComparison.Ordinal);
        AssertNothingBeyond(pair);
    }

    private static void AssertNothingBeyond(PayloadPair pair)
    {
        for (var page = 4; page < PayloadPair.Pages; page++)
        {
            Assert.False(pair.TargetPageAt(page).ContainsAnyExcept((byte)0), $"page {page} was written");
        }
    }

    private static byte[] ZlibOf(byte[] bytes)
    {
        using var memory = new MemoryStream();
        using (var zlib = new ZLibStream(memory, CompressionLevel.Optimal, leaveOpen: true))
        {
            zlib.Write(bytes);
        }

        return memory.ToArray();
    }

    private static byte[] ZstdBomb() => ZstdFrames.Zeros(1 << 16);
}
