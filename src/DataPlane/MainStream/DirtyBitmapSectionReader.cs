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
    public async ValueTask ReadBodyAsync(CancellationToken cancellationToken)
    {
        for (long wanted = 1; ; wanted = stream.Buffered + 1)
        {
            await stream.RequireAsync(wanted, "the section of dirty bitmaps", cancellationToken).ConfigureAwait(false);
            if (TryReadEnd())
            {
                return;
            }
        }
    }

    private bool TryReadEnd()
    {
        if (DirtyBitmapRecord.Parse(stream.Peek(DirtyBitmapRecord.MaxSize), out var record, out var consumed) != OperationStatus.Done)
        {
            return false;
        }

        if (!record.IsEnd)
        {
            throw new ChannelException(
                FailureReason.NotSupported, stream.Channel,
                $"the source sends the dirty bitmap {WireName.Quote(record.Bitmap)} of disk {WireName.Quote(record.Node)}, "
                + "which a saved VM cannot keep: turn off capability dirty-bitmaps, or remove the bitmap");
        }

        stream.Advance(consumed);
        return true;
    }
}
