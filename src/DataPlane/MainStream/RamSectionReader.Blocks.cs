using System.Buffers;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <content>The list of RAM blocks in the START section.</content>
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
    /// Memory is made for a source that goes on: after the list its mark or the end of the section, and a byte of what comes then. Every
    /// source sends that much before it waits for anything that we could do.
    /// </summary>
    private async ValueTask RequireMoreAsync(CancellationToken cancellationToken)
    {
        await stream.RequireAsync(RamRecordHeader.MinSize + 1, "the section with the list of RAM blocks", cancellationToken)
            .ConfigureAwait(false);
        var next = stream.Peek(RamRecordHeader.MinSize);
        if (RamRecordHeader.Parse(next, out var record, out _, out _) != OperationStatus.Done
            || record.Kind is not (RamFlags.EndOfSection or RamFlags.MultifdFlush))
        {
            throw stream.Malformed("neither a sync mark nor the end of the section after the list of RAM blocks");
        }
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
