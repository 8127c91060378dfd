using System.Buffers;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class DirtyBitmapRecordTests
{
    // As QEMU 7.2 and 11.1 begin a section that has a bitmap 'b0' of node 'd0'.
    private static readonly byte[] s_begin = Hex.Bytes("1C 02 \"d0\" 02 \"b0\"");

    [Fact]
    public void The_end_of_a_body_stands_alone()
    {
        Assert.Equal(OperationStatus.Done, DirtyBitmapRecord.Parse([0x01, 0x7E], out var record, out var consumed));
        Assert.True(record.IsEnd);
        Assert.Equal(1, consumed);
    }

    [Fact]
    public void A_bitmap_is_named()
    {
        Assert.Equal(OperationStatus.Done, DirtyBitmapRecord.Parse([.. s_begin, 0, 1], out var record, out var consumed));
        Assert.False(record.IsEnd);
        Assert.Equal("d0"u8, record.Node);
        Assert.Equal("b0"u8, record.Bitmap);
        Assert.Equal(s_begin.Length, consumed);
    }

    [Fact]
    public void Whatever_is_missing_is_asked_for()
    {
        for (var length = 0; length < s_begin.Length; length++)
        {
            Assert.Equal(OperationStatus.NeedMoreData, DirtyBitmapRecord.Parse(s_begin.AsSpan(0, length), out _, out _));
        }
    }

    [Theory]
    [InlineData((byte)0x00)]
    [InlineData((byte)0x03)] // an end that says more
    [InlineData((byte)0x42)]
    [InlineData((byte)0x81)] // flags of later versions
    public void Anything_else_is_no_end(byte flags)
    {
        Assert.Equal(OperationStatus.Done, DirtyBitmapRecord.Parse([flags], out var record, out _));
        Assert.False(record.IsEnd);
    }
}
