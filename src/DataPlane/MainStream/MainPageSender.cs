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
/// vectored call, with headers and pages in turn. Zero records follow one another in the header block. One thread sends all rounds; the
/// sender starts it, and <see cref="StopAsync"/> waits for its end.
/// </remarks>
internal sealed class MainPageSender : IPageSender
{
    private const string ThreadName = "dp-send-main";

    private readonly BlockPool _pool;
    private readonly SendLimit? _limit;
    private readonly object _gate = new(); // guards _next and _stopping
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Round? _next;
    private bool _stopping;
    private RamBlock? _lastBlock;
    private long _normalPages;
    private long _zeroPages;

    /// <summary>Starts the thread before main is connected: starting one takes up to a millisecond.</summary>
    public MainPageSender(BlockPool pool, SendLimit? limit = null)
    {
        _pool = pool;
        _limit = limit;
        new Thread(Run) { Name = ThreadName, IsBackground = true }.Start();
    }

    public long NormalPages => Volatile.Read(ref _normalPages);

    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <summary>The main channel, to be set before the first round.</summary>
    public Channel? Main { get; set; }

    /// <inheritdoc/>
    public Task SendRoundAsync(PageFeed feed)
    {
        var round = new Round(feed, Main ?? throw new InvalidOperationException("main is not connected"));
        lock (_gate)
        {
            _next = round;
            Monitor.Pulse(_gate);
        }

        return round.Done.Task;
    }

    /// <inheritdoc/>
    public Task StopAsync()
    {
        lock (_gate)
        {
            _stopping = true;
            Monitor.Pulse(_gate);
        }

        return _stopped.Task;
    }

    private void Run()
    {
        PageBatch? batch = null;
        try
        {
            batch = PageBatch.Pool.Get();
            using var headers = _pool.RentBlock(ThreadName);
            while (TakeRound() is { } round)
            {
                Send(round, batch, headers);
            }
        }
        catch (Exception failure)
        {
            // Without a block nothing can be sent. That is told by failing the first round, because nobody waits for this thread before it.
            TakeRound()?.Done.SetException(
                new ChannelException(FailureReason.LocalFailure, ChannelId.Main, failure.Message, failure));
        }
        finally
        {
            if (batch is not null)
            {
                PageBatch.Pool.Return(batch);
            }

            _stopped.SetResult();
        }
    }

    /// <summary>Waits for the next round. Returns null if there will be none.</summary>
    private Round? TakeRound()
    {
        lock (_gate)
        {
            while (_next is null && !_stopping)
            {
                Monitor.Wait(_gate);
            }

            var round = _next;
            _next = null;
            return round;
        }
    }

    private void Send(Round round, PageBatch batch, PooledBlock headers)
    {
        try
        {
            while (round.Feed.TryTake(batch))
            {
                Send(round.Main, batch, headers);
            }

            round.Done.SetResult();
        }
        catch (Exception failure)
        {
            round.Done.SetException(failure);
        }
    }

    private void Send(Channel main, PageBatch batch, PooledBlock headers)
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

        _limit?.Take(vectors[..vectorCount]);
        var result = main.Send(vectors[..vectorCount]);
        if (!result.Complete)
        {
            throw ChannelException.From(result, main, "sending pages");
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

    /// <summary>The pages of one round, and where they go.</summary>
    private sealed record Round(PageFeed Feed, Channel Main)
    {
        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
