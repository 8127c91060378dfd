namespace DataPlane.PostcopyPair;

/// <summary>A destination that runs its guest at once: one thread that touches every page, or nothing at all.</summary>
/// <param name="allocation">Its memory.</param>
/// <param name="touches">Whether it touches its memory.</param>
internal sealed class ArrivingGuest(RamAllocation allocation, bool touches) : IPostcopyGuest, IDisposable
{
    private GuestMemory? _memory;
    private Toucher? _toucher;

    /// <summary>Microseconds of every touch that had to wait for its page.</summary>
    public double[] Waits => _toucher?.Waits ?? [];

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        _memory = new GuestMemory([.. blocks.Select(block => RamBlock.Allocate(block.Name, block.Length, allocation))]);
        return new(_memory);
    }

    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken) => default;

    public ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken) => default;

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        if (touches)
        {
            _toucher = new Toucher(_memory!.Blocks[0]);
        }

        return default;
    }

    public ValueTask CompleteAsync(ReceivedPages pages) => default;

    public ValueTask AbandonAsync(Exception cause) => default;

    public void Dispose()
    {
        _toucher?.Dispose();
        _memory?.Dispose();
    }
}
