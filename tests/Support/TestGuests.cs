using Xunit;

namespace DataPlane.TestSupport;

/// <summary>
/// A guest whose memory the test writes; it "runs" in that <see cref="WhileRunning"/> is called between rounds, when dirty pages are
/// collected.
/// </summary>
internal sealed class TestGuest : IMigratableGuest, IDisposable
{
    private readonly RecordedDirtyTracker _tracker;

    public TestGuest(params RamBlock[] blocks)
    {
        Memory = new GuestMemory(blocks);
        _tracker = new RecordedDirtyTracker(Memory);
    }

    public string MachineName { get; init; } = "dataplane-test-1.0";

    public Guid Uuid { get; init; } = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    public GuestMemory Memory { get; }

    public bool IsRunning { get; set; }

    public byte[] Devices { get; init; } = [1, 2, 3];

    /// <summary>Called before each collection of dirty pages, with its number from 1.</summary>
    public Action<TestGuest, int>? WhileRunning { get; init; }

    /// <summary>Called when the guest has been paused.</summary>
    public Func<CancellationToken, Task>? OnPaused { get; set; }

    public int Resumed { get; private set; }

    /// <summary>Makes the resuming fail.</summary>
    public Action? OnResume { get; init; }

    /// <summary>A quarter of the pages zero, the rest random. Without <paramref name="whileRunning"/> it writes nothing.</summary>
    public static TestGuest Patterned(
        long bytes,
        int seed = 1,
        Action<TestGuest, int>? whileRunning = null,
        long hostPageSize = TargetPage.Size,
        byte[]? devices = null)
    {
        var guest = new TestGuest(
            RamBlock.Allocate("pc.ram", bytes, RamAllocation.Default with { HugePages = false, HostPageSize = hostPageSize }),
            RamBlock.Allocate("/rom@etc/acpi/tables", 128 * 1024, RamAllocation.Default with { HugePages = false }))
        {
            IsRunning = whileRunning is not null,
            WhileRunning = whileRunning,
            Devices = devices ?? [1, 2, 3],
        };
        var random = new Random(seed);
        foreach (var block in guest.Memory.Blocks)
        {
            for (long page = 0; page < block.PageCount; page++)
            {
                if (random.Next(4) != 0)
                {
                    random.NextBytes(block.Span(page * TargetPage.Size, TargetPage.Size));
                }
            }
        }

        return guest;
    }

    public void Write(RamBlock block, long page, byte value)
    {
        block.Span(page * TargetPage.Size, TargetPage.Size).Fill(value);
        _tracker.MarkWritten(block, page, 1);
    }

    public IDirtyTracker CreateDirtyTracker() => new Interposed(this);

    public async ValueTask PauseAsync(CancellationToken cancellationToken)
    {
        IsRunning = false;
        if (OnPaused is not null)
        {
            await OnPaused(cancellationToken);
        }
    }

    public ValueTask ResumeAsync()
    {
        OnResume?.Invoke();
        Resumed++;
        IsRunning = true;
        return default;
    }

    public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken) => new(DeviceState.Wrap("test", Devices));

    public void Dispose() => Memory.Dispose();

    private sealed class Interposed(TestGuest guest) : IDirtyTracker
    {
        private int _collections;

        public void Start() => guest._tracker.Start();

        public long Collect(GuestPageSet dirty)
        {
            guest.WhileRunning?.Invoke(guest, ++_collections);
            return guest._tracker.Collect(dirty);
        }

        public void Stop() => guest._tracker.Stop();

        public void Dispose()
        {
        }
    }
}

/// <summary>A destination host that keeps the guest in memory and records what it was asked.</summary>
internal sealed class TestIncomingGuest : IIncomingGuest, IDisposable
{
    public GuestMemory? Memory { get; private set; }

    public IncomingMachine? Machine { get; private set; }

    public DeviceState? Devices { get; private set; }

    public ReceivedPages? Pages { get; private set; }

    public bool Started { get; private set; }

    public Exception? Abandoned { get; private set; }

    /// <summary>The commit went well: the guest may only be here from now on.</summary>
    public bool Committed => Devices is not null;

    /// <summary>Makes the commit fail or wait.</summary>
    public Func<Task>? OnCommit { get; init; }

    /// <summary>Makes the memory take its time.</summary>
    public Action? OnCreate { get; init; }

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        OnCreate?.Invoke();
        Machine = machine;
        Memory = new GuestMemory([.. blocks.Select(static block =>
            RamBlock.Allocate(block.Name, block.Length, RamAllocation.Default with { HugePages = false }))]);
        return new(Memory);
    }

    public async ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken)
    {
        if (OnCommit is not null)
        {
            await OnCommit();
        }

        Devices = devices;
        Pages = pages;
    }

    /// <summary>Makes the start fail or wait.</summary>
    public Action? OnStart { get; init; }

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        OnStart?.Invoke();
        Started = true;
        return default;
    }

    public ValueTask AbandonAsync(Exception cause)
    {
        Abandoned = cause;
        return default;
    }

    public void Dispose() => Memory?.Dispose();

    public void AssertSameMemoryAs(GuestMemory source) => Assert.Empty(DifferencesFrom(source));

    /// <summary>The pages that are not as at the source. The blocks must be the same.</summary>
    public IReadOnlyList<string> DifferencesFrom(GuestMemory source)
    {
        Assert.NotNull(Memory);
        Assert.Equal(source.Blocks.Select(static block => (block.Name, block.Length)),
            Memory.Blocks.Select(static block => (block.Name, block.Length)));
        List<string> differences = [];
        foreach (var block in source.Blocks)
        {
            Assert.True(Memory.TryGetBlock(block.Name, out var received));
            for (long page = 0; page < block.PageCount; page++)
            {
                var offset = page * TargetPage.Size;
                if (!block.Span(offset, TargetPage.Size).SequenceEqual(received.Span(offset, TargetPage.Size)))
                {
                    differences.Add($"page {page} of block {block.Name}");
                }
            }
        }

        return differences;
    }
}
