using DataPlane.Linux;

namespace DataPlane.Tool.Bench;

/// <summary>
/// A live guest: memory, and a thread that keeps writing to it. Each write is a real store, which counts up the first bytes of a page, so
/// that every kind of dirty tracking finds it.
/// </summary>
/// <remarks>
/// <code>
/// | state   | Resume  | Pause               | thread                        |
/// | paused  | running | -                   | waits, touches nothing        |
/// | running | -       | paused, see Pause   | writes what the rate allows   |
/// </code>
/// A new guest is paused. Only one controlling thread may call Resume and Pause; every thread may read everything else.
/// </remarks>
internal sealed class Workload : IDisposable
{
    // The writes under one hold of the lock. They bound how long Pause waits: a write to a protected page takes up to 10 us.
    private const int BatchWrites = 32;

    private static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(1);

    private readonly RamBlock _block;
    private readonly WritePacer _pacer;
    private readonly RecordedDirtyTracker _recorded;
    private readonly Lock _writing = new();
    private readonly ManualResetEventSlim _mayRun = new(false);
    private readonly Thread? _thread;
    private PageOrder _order;
    private long _pagesWritten;
    private long _cpuTicks;
    private volatile bool _paused = true;
    private volatile bool _ended;

    public Workload(WorkloadOptions options, TimeProvider time)
    {
        options.Validate();
        _block = RamBlock.Allocate("pc.ram", options.RamBytes, new RamAllocation { Populate = true });
        Memory = new GuestMemory([_block]);
        if (options.MemoryFile is { } file)
        {
            MemoryFill.FromFile(_block, options.ZeroPercent, file);
        }
        else
        {
            MemoryFill.Fill(_block, options.ZeroPercent, options.Seed);
        }

        _recorded = new RecordedDirtyTracker(Memory);
        _order = new PageOrder((options.DirtyWindowBytes ?? options.RamBytes) / TargetPage.Size);
        _pacer = new WritePacer(time, options.DirtyBytesPerSecond / (double)TargetPage.Size);
        if (options.DirtyBytesPerSecond == 0)
        {
            return;
        }

        _thread = new Thread(Run) { Name = "dp-workload", IsBackground = true };
        _thread.Start();
    }

    public GuestMemory Memory { get; }

    public RamBlock Block => _block;

    public bool IsPaused => _paused;

    public long PagesWritten => Volatile.Read(ref _pagesWritten);

    /// <summary>The CPU time of the writing thread so far. It is the guest's own work, and no cost of the migration.</summary>
    public TimeSpan CpuTime => TimeSpan.FromTicks(Volatile.Read(ref _cpuTicks));

    /// <summary>
    /// Creates the best tracker that this kernel allows: the kernel's own, else this guest's record of its writes, with the reason in
    /// <paramref name="fallbackReason"/>.
    /// </summary>
    public IDirtyTracker CreateTracker(out string? fallbackReason) =>
        PagemapDirtyTracker.IsSupported(out fallbackReason) ? new PagemapDirtyTracker(Memory) : _recorded;

    /// <summary>The guest's own record of its writes, which works on every kernel.</summary>
    public IDirtyTracker RecordedTracker => _recorded;

    public void Resume()
    {
        lock (_writing)
        {
            _pacer.Restart();
            _paused = false;
        }

        _mayRun.Set();
    }

    /// <summary>
    /// Pauses the guest. When this returns, no write is in flight, every write so far is recorded, and none follows until
    /// <see cref="Resume"/>.
    /// </summary>
    public void Pause()
    {
        // The flag is set before the lock is taken: the thread looks at it between batches and gives way, so that Pause never starves.
        _paused = true;
        _mayRun.Reset();
        lock (_writing)
        {
            // To hold the lock once is enough: the batch that was being written is finished.
        }
    }

    private void Run()
    {
        while (!_ended)
        {
            if (_paused)
            {
                _mayRun.Wait();
                continue;
            }

            if (WriteBatch() < BatchWrites)
            {
                Thread.Sleep(s_tick);
            }
        }
    }

    private int WriteBatch()
    {
        lock (_writing)
        {
            if (_paused)
            {
                return 0;
            }

            var writes = _pacer.Take(BatchWrites);
            for (var i = 0; i < writes; i++)
            {
                WritePage(_order.Next());
            }

            Volatile.Write(ref _pagesWritten, _pagesWritten + writes);
            Volatile.Write(ref _cpuTicks, ResourceUsage.CpuTime(ProcessCalls.UsageOfThread).Ticks);
            return writes;
        }
    }

    private unsafe void WritePage(long page)
    {
        // SAFETY: the order stays within the block, which outlives this thread (Dispose joins it first).
        Interlocked.Increment(ref *(long*)(_block.Address + (nint)(page << TargetPage.Shift)));
        // The record is made after the write, never before it: see RecordedDirtyTracker.
        _recorded.MarkWritten(_block, page, 1);
    }

    public void Dispose()
    {
        _ended = true;
        _paused = true;
        _mayRun.Set();
        _thread?.Join();
        _mayRun.Dispose();
        Memory.Dispose();
    }
}
