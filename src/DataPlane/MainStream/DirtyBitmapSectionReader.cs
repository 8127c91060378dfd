using System.Buffers;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the section that a source with capability <c>dirty-bitmaps</c> always sends. It skips a section without a bitmap, and refuses any
/// other with the name of its bitmap. The section begins before any page.
/// </summary>
internal sealed class DirtyBitmapSectionReader(StreamCursor stream)
{
    /// <summary>Reads one body of the section, which consists of a single record.</summary>
    /// <exception cref="ChannelException">The section holds a bitmap, or the stream ends inside the section.</exception>
    public void ReadBody()
    {
        var record = stream.Parse<DirtyBitmapRecord>(
            Parse, minSize: 1, DirtyBitmapRecord.MaxSize, "the section of dirty bitmaps", out var size);
        if (!record.IsEnd)
        {
            throw new ChannelException(
                FailureReason.NotSupported, stream.Channel,
                $"the source sends the dirty bitmap {WireName.Quote(record.Bitmap)} of disk {WireName.Quote(record.Node)}, "
                + "which a saved VM cannot keep: turn off capability dirty-bitmaps, or remove the bitmap");
        }

        stream.Advance(size);
    }

    private static OperationStatus Parse(ReadOnlySpan<byte> source, out DirtyBitmapRecord record, out int consumed, out string? error)
    {
        error = null; // a record never fails on what is in it
        return DirtyBitmapRecord.Parse(source, out record, out consumed);
    }
}
