using System.Buffers;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>Reads the list of RAM blocks in the START section of ram, and has the guest's memory created for it.</summary>
internal sealed class BlockListReader(StreamCursor stream, MainStreamOptions options, IMainStreamEvents events)
{
    /// <summary>Reads the list after its total of <paramref name="total"/> bytes, and returns the record of the memory's pages.</summary>
    /// <exception cref="ChannelException">The list is malformed or beyond the limits, or the stream ends with it.</exception>
    public ReceivedPages Read(long total, RamStart start)
    {
        if (!RamBlockList.TryBegin(total, options.MaxRamBytes, out var list, out var error))
        {
            throw new ChannelException(FailureReason.LimitExceeded, stream.Channel, error!);
        }

        while (!list!.IsComplete)
        {
            if (!list.TryAdd(ReadBlock(new RamBlockEntryOptions(list.RemainingBytes, start.AdvisedPageSizes)), out error))
            {
                throw stream.Malformed(error!);
            }
        }

        RequireMore();
        return Blocking.Wait(events.OnRamBlocksAsync(list.Entries, start.EarlySections, stream.Cancellation));
    }

    /// <summary>
    /// Waits until the source has gone on after the list, because memory is created only for such a source. Every source flushes its sync
    /// mark and the end of the section together with the list. Without multifd, one more byte is awaited. With multifd, that byte may come
    /// only after pages on the other channels, none of which is read before there is memory.
    /// </summary>
    private void RequireMore()
    {
        const string What = "the section with the list of RAM blocks";
        stream.Fill(RamRecordHeader.MinSize, What);
        if (RamRecordHeader.Parse(stream.Peek(RamRecordHeader.MinSize), out var record, out _, out _) != OperationStatus.Done
            || record.Kind is not (RamFlags.EndOfSection or RamFlags.MultifdFlush))
        {
            throw stream.Malformed("neither a sync mark nor the end of the section after the list of RAM blocks");
        }

        var end = record.Kind == RamFlags.MultifdFlush ? 2 * RamRecordHeader.MinSize : RamRecordHeader.MinSize;
        stream.Fill(options.Multifd ? end : end + 1, What);
    }

    private RamBlockEntry ReadBlock(RamBlockEntryOptions layout)
    {
        var entry = stream.Parse(
            (ReadOnlySpan<byte> source, out RamBlockEntry entry, out int consumed, out string? error) =>
                RamBlockEntry.Parse(source, layout, out entry, out consumed, out error),
            minSize: 1, RamBlockEntry.MaxSize, "the list of RAM blocks", out var size);
        stream.Advance(size);
        return entry;
    }
}
