using DataPlane.Linux;
using DataPlane.Memory;

namespace DataPlane.Tool.Bench;

/// <summary>
/// A live guest: memory, and a thread that keeps writing to it. Each write is a real store, a counter in the first bytes of a page, so
/// whatever tracks dirty pages has something to track.
/// </summary>
/// <remarks>
/// | state   | Resume  | Pause               | thread                        |
/// | paused  | running | -                   | waits, touches nothing        |
/// | running | -       | paused, see Pause   | writes what the rate allows   |
/// It starts paused. Resume and Pause are for one controlling thread; everything else may be read from any.
/// </remarks>
internal sealed class Workload : IDisposable
{
    // Writes under one hold of the lock: bounds how long Pause waits (a write to a protected page takes up to 10 us).
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

    /// <summary>CPU time of the writing thread so far: the guest's own work, which is no cost of moving it.</summary>
    public TimeSpan CpuTime => TimeSpan.FromTicks(Volatile.Read(ref _cpuTicks));

    /// <summary>
    /// The best tracker that this kernel allows: its own, else this guest's record of what it wrote, with the reason in
    /// <paramref name="fallbackReason"/>.
    /// </summary>
    public IDirtyTracker CreateTracker(out string? fallbackReason) =>
        PagemapDirtyTracker.IsSupported(out fallbackReason) ? new PagemapDirtyTracker(Memory) : _recorded;

    /// <summary>The guest's own record of what it wrote. Works everywhere.</summary>
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
    /// When it returns no write is in flight, every write so far is recorded, and none follows until <see cref="Resume"/>.
    /// </summary>
    public void Pause()
    {
        // Set before the lock is wanted: the thread looks at it between batches and steps aside, so this never starves.
        _paused = true;
        _mayRun.Reset();
        lock (_writing)
        {
            // Held once: whatever batch was being written is finished.
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
            Volatile.Write(ref _cpuTicks, ResourceUsage.CpuTime(Libc.UsageOfThread).Ticks);
            return writes;
        }
    }

    private unsafe void WritePage(long page)
    {
        // SAFETY: the order stays within the block, which outlives this thread (Dispose joins it first).
        Interlocked.Increment(ref *(long*)(_block.Address + (nint)(page << TargetPage.Shift)));
        // After the write, never before: see RecordedDirtyTracker.
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
