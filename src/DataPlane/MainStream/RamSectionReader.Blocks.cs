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

        return await events.OnRamBlocksAsync(list.Entries, EarlySections, cancellationToken).ConfigureAwait(false);
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
