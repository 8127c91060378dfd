using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Sends pages on the main channel, for migrations without multifd. Record headers come from a pooled block, and pages directly from guest
/// memory.
/// </summary>
/// <remarks>
/// The caller must have flushed what it wrote to main before, and must write nothing until the round is over. A batch is sent by one
/// vectored call, with headers and pages in turn. Zero records follow one another in the header block.
/// </remarks>
internal sealed class MainPageSender(Channel channel, BlockPool pool, SendLimit? limit = null) : IPageSender
{
    private long _normalPages;
    private long _zeroPages;
    private RamBlock? _lastBlock;

    public long NormalPages => Volatile.Read(ref _normalPages);

    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <inheritdoc/>
    public Task SendRoundAsync(PageFeed feed)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() => Run(feed, done)) { Name = "dp-send-main", IsBackground = true };
        thread.Start();
        return done.Task;
    }

    private void Run(PageFeed feed, TaskCompletionSource done)
    {
        var batch = PageBatch.Pool.Get();
        try
        {
            using var headers = pool.RentBlock("dp-send-main");
            while (feed.TryTake(batch))
            {
                Send(batch, headers);
            }

            done.SetResult();
        }
        catch (Exception failure)
        {
            done.SetException(failure);
        }
        finally
        {
            PageBatch.Pool.Return(batch);
        }
    }

    private void Send(PageBatch batch, PooledBlock headers)
    {
        Span<IoVec> vectors = stackalloc IoVec[(2 * PageBatch.Capacity) + 1];
        int vectorCount = 0, pending = 0, used = 0, normal = 0, zero = 0;
        foreach (var run in batch.Runs)
        {
            for (var i = 0; i < run.PageCount; i++)
            {
                var offset = run.Offset + ((long)i << TargetPage.Shift);
                var isZero = batch.IsZero(run.FirstPage + i);
                used += WriteHeader(headers.Span[used..], run.Block, isZero, offset);
                if (isZero)
                {
                    zero++;
                    continue;
                }

                normal++;
                vectors[vectorCount++] = new IoVec(headers.Address + pending, (nuint)(used - pending));
                vectors[vectorCount++] = new IoVec(run.Block.Address + (nint)offset, TargetPage.Size);
                pending = used;
            }
        }

        if (used > pending)
        {
            vectors[vectorCount++] = new IoVec(headers.Address + pending, (nuint)(used - pending));
        }

        limit?.Take(vectors[..vectorCount]);
        var result = channel.Send(vectors[..vectorCount]);
        if (!result.Complete)
        {
            throw ChannelException.From(result, channel, "sending pages");
        }

        Volatile.Write(ref _normalPages, _normalPages + normal);
        Volatile.Write(ref _zeroPages, _zeroPages + zero);
    }

    /// <summary>
    /// Writes the record header of one page, and for a zero page also its payload of one byte. Returns the size, which is at most 265
    /// bytes.
    /// </summary>
    private int WriteHeader(Span<byte> destination, RamBlock block, bool isZero, long offset)
    {
        var named = block != _lastBlock;
        _lastBlock = block;
        var flags = (isZero ? RamFlags.Zero : RamFlags.Page) | (named ? 0 : RamFlags.Continue);
        var size = RamRecordHeader.Write(destination, flags, offset, named ? block.Utf8Name : default);
        if (isZero)
        {
            destination[size++] = 0;
        }

        return size;
    }
}
