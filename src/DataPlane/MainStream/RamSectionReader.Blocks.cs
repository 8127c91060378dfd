using System.Buffers;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <content>Reads the list of RAM blocks in the START section.</content>
internal sealed partial class RamSectionReader
{
    private async ValueTask<ReceivedPages> ReadBlockListAsync(long total, CancellationToken cancellationToken)
    {
        if (!RamBlockList.TryBegin(total, options.MaxRamBytes, out var list, out var error))
        {
            throw new ChannelException(FailureReason.LimitExceeded, stream.Channel, error!);
        }

        while (!list!.IsComplete)
        {
            if (!list.TryAdd(await ReadBlockAsync(list.RemainingBytes, cancellationToken).ConfigureAwait(false), out error))
            {
                throw stream.Malformed(error!);
            }
        }

        await RequireMoreAsync(cancellationToken).ConfigureAwait(false);
        return await events.OnRamBlocksAsync(list.Entries, EarlySections, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Waits until the source has gone on after the list, because memory is created only for such a source. Every source flushes its sync
    /// mark and the end of the section together with the list. Without multifd, one more byte is awaited. With multifd, that byte may come
    /// only after pages on the other channels, none of which is read before there is memory.
    /// </summary>
    private async ValueTask RequireMoreAsync(CancellationToken cancellationToken)
    {
        const string What = "the section with the list of RAM blocks";
        await stream.RequireAsync(RamRecordHeader.MinSize, What, cancellationToken).ConfigureAwait(false);
        if (RamRecordHeader.Parse(stream.Peek(RamRecordHeader.MinSize), out var record, out _, out _) != OperationStatus.Done
            || record.Kind is not (RamFlags.EndOfSection or RamFlags.MultifdFlush))
        {
            throw stream.Malformed("neither a sync mark nor the end of the section after the list of RAM blocks");
        }

        var end = record.Kind == RamFlags.MultifdFlush ? 2 * RamRecordHeader.MinSize : RamRecordHeader.MinSize;
        await stream.RequireAsync(options.Multifd ? end : end + 1, What, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<RamBlockEntry> ReadBlockAsync(long remaining, CancellationToken cancellationToken)
    {
        var layout = new RamBlockEntryOptions(remaining, AdvisedPageSizes);
        for (long wanted = 1; ; wanted = stream.Buffered + 1)
        {
            await stream.RequireAsync(wanted, "the list of RAM blocks", cancellationToken).ConfigureAwait(false);
            switch (RamBlockEntry.Parse(stream.Peek(RamBlockEntry.MaxSize), layout, out var entry, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    stream.Advance(consumed);
                    return entry;
                case OperationStatus.InvalidData:
                    throw stream.Malformed(error!);
            }
        }
    }
}
