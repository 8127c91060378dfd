using DataPlane.Images;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// A copy of a saved VM's memory, parts of which are overwritten and put right again by a thread for as long as it runs: what the
/// destination has is right only if every page that was written came again.
/// </summary>
internal sealed class LiveGuest : IMigratableGuest, IDisposable
{
    private const int WindowPages = 2048;

    private readonly MappedRamSource _saved;
    private readonly Thread _writer;
    private volatile bool _stop;

    public LiveGuest(MappedRamSource saved)
    {
        _saved = saved;
        Memory = new GuestMemory([.. saved.Memory.Blocks.Select(Copy)]);
        _writer = new Thread(Write) { IsBackground = true };
        _writer.Start();
    }

    public string MachineName => _saved.MachineName;

    public Guid Uuid => _saved.Uuid;

    public GuestMemory Memory { get; }

    public bool IsRunning => !_stop;

    public IDirtyTracker CreateDirtyTracker() => new PagemapDirtyTracker(Memory);

    public ValueTask PauseAsync(CancellationToken cancellationToken)
    {
        Stop();
        return default;
    }

    /// <summary>It was given back by a migration that failed.</summary>
    public bool HasReturned { get; private set; }

    public ValueTask ResumeAsync()
    {
        HasReturned = true;
        return default;
    }

    public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken) => new(_saved.Devices);

    public void Dispose()
    {
        Stop();
        Memory.Dispose();
    }

    private static RamBlock Copy(RamBlock block)
    {
        var copy = RamBlock.Allocate(block.Name, block.Length, RamAllocation.Default with { HugePages = false });
        for (long at = 0; at < block.Length; at += TargetPage.Size)
        {
            block.Span(at, TargetPage.Size).CopyTo(copy.Span(at, TargetPage.Size));
        }

        return copy;
    }

    private void Stop()
    {
        _stop = true;
        _writer.Join();
    }

    /// <summary>Two windows in turn: garbage in one, the truth in the other; at the end the truth in both.</summary>
    private void Write()
    {
        var (ram, truth) = (Memory.Blocks[0], _saved.Memory.Blocks[0]);
        var pages = Enumerable.Range(0, WindowPages).Select(i => 512L + i * 7L).ToArray();
        for (byte pass = 1; !_stop; pass++)
        {
            foreach (var page in pages)
            {
                ram.Span(page << TargetPage.Shift, TargetPage.Size).Fill(pass);
            }

            foreach (var page in pages)
            {
                truth.Span(page << TargetPage.Shift, TargetPage.Size).CopyTo(ram.Span(page << TargetPage.Shift, TargetPage.Size));
            }

            Thread.Yield();
        }
    }
}
