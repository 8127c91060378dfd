using System.Collections.Concurrent;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// A destination that runs its guest at once: threads touch pages at random and compare each with what the source has. Where it may have
/// larger pages, a block has those that the source announces.
/// </summary>
internal sealed class LiveGuest(GuestMemory source, RamAllocation allocation, int threads = 2, int seed = 1) : IPostcopyGuest, IDisposable
{
    private readonly List<Thread> _running = [];
    private volatile bool _stop;

    public TestIncomingGuest Inner { get; } = new();

    public GuestMemory Memory { get; private set; } = null!;

    /// <summary>Takes its own page size wherever a block is made of it, whatever the source announces.</summary>
    public bool ChoosesItsPages { get; init; }

    /// <summary>Called while the devices are loaded.</summary>
    public Action<GuestMemory>? OnLoad { get; init; }

    public Action? OnStart { get; init; }

    public List<string> Calls { get; } = [];

    public ConcurrentQueue<string> Damage { get; } = [];

    public ConcurrentQueue<PostcopyPause> Pauses { get; } = [];

    public DeviceState? Devices { get; private set; }

    public long Touched { get; private set; }

    /// <summary>Skips the test where the kernel does not let this user wait for missing pages.</summary>
    public static void RequireUserfaultfd()
    {
        try
        {
            UserfaultPageStore.CheckSupported();
        }
        catch (IOException refused)
        {
            Assert.Skip($"userfaultfd for missing pages: {refused.Message}");
        }
    }

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        Note("create");
        Memory = new GuestMemory([.. blocks.Select(block => RamBlock.Allocate(
            block.Name, block.Length, allocation with { HostPageSize = PageSizeFor(block) }))]);
        return new(Memory);
    }

    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken)
    {
        Note("commit");
        Devices = devices;
        return default;
    }

    public ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken)
    {
        Note("load");
        Devices = devices;
        OnLoad?.Invoke(Memory);
        return default;
    }

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        Note("start");
        OnStart?.Invoke();
        for (var i = 0; i < threads; i++)
        {
            var random = new Random(seed + i);
            var thread = new Thread(() => Run(random)) { IsBackground = true };
            _running.Add(thread);
            thread.Start();
        }

        return default;
    }

    public ValueTask CompleteAsync(ReceivedPages pages)
    {
        Note("complete");
        Stop();
        return default;
    }

    public ValueTask AbandonAsync(Exception cause)
    {
        Note("abandon");
        return default;
    }

    /// <summary>Whether it has been called, from any thread.</summary>
    public bool Has(string call)
    {
        lock (Calls)
        {
            return Calls.Contains(call);
        }
    }

    /// <summary>Called at a pause, after it has been noted.</summary>
    public Action? WhenPaused { get; set; }

    public void OnPaused(PostcopyPause pause)
    {
        Pauses.Enqueue(pause);
        WhenPaused?.Invoke();
    }

    /// <summary>Called when the migration goes on over a new link.</summary>
    public Action? WhenResumed { get; set; }

    public void OnResumed()
    {
        Note("resume");
        WhenResumed?.Invoke();
    }

    public void Stop()
    {
        _stop = true;
        _running.ForEach(static thread => thread.Join());
        _running.Clear();
    }

    /// <summary>No thread has seen a wrong page, and now all are compared.</summary>
    public void AssertWhole()
    {
        Assert.Empty(Damage);
        foreach (var block in source.Blocks)
        {
            Assert.True(Memory.TryGetBlock(block.Name, out var here));
            for (long page = 0; page < block.PageCount; page++)
            {
                Compare(block, here, page);
            }
        }

        Assert.Empty(Damage);
    }

    public void Dispose()
    {
        Stop();
        Memory?.Dispose();
        Inner.Dispose();
    }

    private long PageSizeFor(IncomingBlock block) =>
        !ChoosesItsPages ? Math.Min(block.HostPageSize, allocation.HostPageSize)
        : block.Length % allocation.HostPageSize == 0 ? allocation.HostPageSize
        : TargetPage.Size;

    private void Note(string call)
    {
        lock (Calls)
        {
            Calls.Add(call);
        }
    }

    private void Run(Random random)
    {
        while (!_stop)
        {
            var block = source.Blocks[random.Next(source.Blocks.Count)];
            _ = Memory.TryGetBlock(block.Name, out var here);
            Compare(block, here!, random.NextInt64(block.PageCount));
            Touched++;
        }
    }

    private void Compare(RamBlock there, RamBlock here, long page)
    {
        if (!ForeignTouch.Read(here, page).AsSpan().SequenceEqual(there.Span(page * TargetPage.Size, TargetPage.Size)))
        {
            Damage.Enqueue($"page {page} of {here.Name}");
        }
    }
}
