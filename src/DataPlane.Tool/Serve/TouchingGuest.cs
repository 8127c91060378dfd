using System.Buffers.Binary;
using DataPlane.Tool.Bench;

namespace DataPlane.Tool.Serve;

/// <summary>
/// The bench's guest at the destination of a postcopy. It runs from the switch on, on memory of which it knows every byte. When all of it
/// has come, every page is compared once more, and the guest takes its own writes back, so that both sides hold the same again.
/// </summary>
internal sealed class TouchingGuest(GuestMemory memory, PostcopyRequest request, TimeProvider time) : IPostcopyGuest, IDisposable
{
    private readonly RamBlock _block = memory.Blocks[0];
    private readonly int[] _written = new int[memory.Blocks[0].PageCount];
    private readonly ManualResetEventSlim _start = new(false);
    private readonly List<PageToucher> _threads = [];
    private PageContent? _content;
    private string? _damage;

    /// <summary>Called when the link is lost.</summary>
    public Action? OnLost { get; init; }

    /// <summary>The first page that was wrong; null when there is none.</summary>
    public string? Damage => _damage ?? _threads.Select(static thread => thread.Damage).FirstOrDefault(static damage => damage is not null);

    /// <summary>Why pages could not be read; null when all could.</summary>
    public string? Unreadable => _threads.Select(static thread => thread.Unreadable).FirstOrDefault(static reason => reason is not null);

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken) => new(memory);

    public ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken)
    {
        var writes = BinaryPrimitives.ReadInt64BigEndian(devices.Unwrap(WorkloadGuest.Device).Span);
        if (writes < 0)
        {
            throw new InvalidDataException($"a guest has not written {writes} times");
        }

        _content = new PageContent(
            _block.PageCount, request.WindowBytes / TargetPage.Size, request.ZeroPercent, request.Seed, writes);
        var touchesPerSecond = request.TouchBytesPerSecond / (double)TargetPage.Size / request.Threads;
        var threads = (int)Math.Min(request.Threads, _block.PageCount);
        for (var i = 0; i < threads; i++)
        {
            var pacer = new WritePacer(time, touchesPerSecond);
            _threads.Add(new PageToucher(_block, _content, i, threads, _written, pacer, _start));
        }

        return default;
    }

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        _start.Set();
        return default;
    }

    public ValueTask CompleteAsync(ReceivedPages pages)
    {
        Stop();
        // All pages are there by now, so managed code may touch them.
        MemoryChunks.ForEach(_block, CheckChunk);
        return default;
    }

    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken) =>
        throw new InvalidOperationException("the migration ended by precopy");

    public ValueTask AbandonAsync(Exception cause) => default;

    public void OnPaused(PostcopyPause pause) => OnLost?.Invoke();

    /// <summary>What the guest did. It must have been stopped.</summary>
    public TouchSample Describe() => new()
    {
        CheckedPages = _threads.Sum(static thread => thread.Checked),
        WrittenPages = _threads.Sum(static thread => thread.Written),
        Faults = _threads.Sum(static thread => thread.Waits.LongCount()),
        FaultSeconds = Latency.Of(_threads.SelectMany(static thread => thread.Waits)),
    };

    /// <summary>Stops the guest's threads. Their pages have come or never will: the kernel lets go a thread that waits for one.</summary>
    public void Stop() => _threads.ForEach(static thread => thread.Stop());

    private void CheckChunk(int index)
    {
        var chunk = MemoryChunks.Chunk(_block, index);
        Span<byte> expected = stackalloc byte[TargetPage.Size];
        var first = (long)index * MemoryChunks.Size / TargetPage.Size;
        for (var offset = 0; offset < chunk.Length; offset += TargetPage.Size)
        {
            var page = first + (offset / TargetPage.Size);
            var bytes = chunk.Slice(offset, TargetPage.Size);
            _content!.Fill(page, _written[page], expected);
            if (!bytes.SequenceEqual(expected))
            {
                Interlocked.CompareExchange(ref _damage, $"page {page} of the guest at the destination is wrong when all has come", null);
                return;
            }

            if (_written[page] != 0)
            {
                BinaryPrimitives.WriteInt64LittleEndian(bytes, BinaryPrimitives.ReadInt64LittleEndian(bytes) - _written[page]);
            }
        }
    }

    public void Dispose()
    {
        Stop();
        _threads.ForEach(static thread => thread.Dispose());
        _start.Dispose();
    }
}
