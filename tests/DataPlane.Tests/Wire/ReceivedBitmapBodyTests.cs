using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class ReceivedBitmapBodyTests
{
    [Theory]
    [InlineData(1, 8)]
    [InlineData(32, 8)]
    [InlineData(64, 8)]
    [InlineData(65, 16)]
    [InlineData(16384, 2048)]
    public void A_bitmap_is_as_long_as_its_block_demands(long pages, long bytes) => Assert.Equal(bytes, ReceivedBitmapBody.SizeOf(pages));

    [Fact]
    public void A_bitmap_is_written_as_documented()
    {
        var bytes = new byte[4 + 256 + ReceivedBitmapBody.HeadSize];
        var size = ReturnPathWriter.WriteReceivedBitmap(bytes, "pc.rom"u8);
        ReceivedBitmapBody.WriteHead(bytes.AsSpan(size), 32);
        Assert.Equal(Hex.Bytes("0005 0007 06 \"pc.rom\" 0000000000000008"), bytes[..(size + ReceivedBitmapBody.HeadSize)]);
        ReceivedBitmapBody.WriteEnd(bytes);
        Assert.Equal(Hex.Bytes("0123456789ABCDEF"), bytes[..ReceivedBitmapBody.EndSize]);
    }

    [Theory]
    [InlineData("0000000000000008", 64, true)]
    [InlineData("0000000000000008", 65, false)]
    [InlineData("0000000000000010", 64, false)]
    [InlineData("8000000000000008", 64, false)]
    public void A_bitmap_of_another_size_is_refused(string hex, long pages, bool legal)
    {
        Assert.Equal(legal, ReceivedBitmapBody.TryReadHead(Hex.Bytes(hex), pages, out var error));
        Assert.Equal(legal, error is null);
    }

    [Theory]
    [InlineData("0123456789ABCDEF", true)]
    [InlineData("EFCDAB8967452301", false)]
    public void A_bitmap_without_its_end_mark_is_refused(string hex, bool legal) =>
        Assert.Equal(legal, ReceivedBitmapBody.TryReadEnd(Hex.Bytes(hex), out _));
}
