using System.Runtime.InteropServices;

namespace DataPlane.PostcopyPair;

/// <summary>A guest of one block without zero pages; every page begins with its number. It stands still, or writes pages all the
/// time.</summary>
internal sealed class SourceGuest : IMigratableGuest, IDisposable
{
    // What a guest of some cores has beside its memory, roughly.
    private const int DeviceBytes = 64 * 1024;

    private readonly int _writesPerSecond;
    private readonly RecordedDirtyTracker _written;
    private Thread? _writer;
    private volatile bool _stop;

    /// <param name="bytes">RAM.</param>
    /// <param name="writesPerSecond">Pages that it writes while it runs; 0 for a guest that stands still.</param>
    public SourceGuest(long bytes, int writesPerSecond = 0)
    {
        _writesPerSecond = writesPerSecond;
        Memory = new GuestMemory([RamBlock.Allocate("pc.ram", bytes, RamAllocation.Default)]);
        _written = new RecordedDirtyTracker(Memory);
        for (long page = 0; page < Ram.PageCount; page++)
        {
            MemoryMarshal.Cast<byte, long>(Ram.Span(page * TargetPage.Size, TargetPage.Size)).Fill(page + 1);
        }
    }

    public string MachineName => "dataplane-bench-1.0";

    public Guid Uuid => Guid.Empty;

    public GuestMemory Memory { get; }

    public bool IsRunning => _writer is not null;

    private RamBlock Ram => Memory.Blocks[0];

    /// <summary>Lets it write, at random places, until it is paused.</summary>
    public void Start()
    {
        _stop = false;
        _writer = new Thread(Write) { Name = "guest" };
        _writer.Start();
    }

    /// <summary>Its own record, as a hypervisor has one: what the kernel's way of finding written pages costs is not postcopy's.</summary>
    public IDirtyTracker CreateDirtyTracker() => _written;

    public ValueTask PauseAsync(CancellationToken cancellationToken)
    {
        Stop();
        return default;
    }

    public ValueTask ResumeAsync() => default;

    public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken) =>
        new(DeviceState.Wrap("bench", new byte[DeviceBytes]));

    public void Dispose()
    {
        Stop();
        Memory.Dispose();
    }

    private void Stop()
    {
        _stop = true;
        _writer?.Join();
        _writer = null;
    }

    private void Write()
    {
        const int Turn = 10;
        var random = new Random(1);
        while (!_stop)
        {
            for (var i = 0; i < _writesPerSecond * Turn / 1000; i++)
            {
                var page = random.NextInt64(Ram.PageCount);
                Ram.Span(page * TargetPage.Size, TargetPage.Size)[^1]++;
                _written.MarkWritten(Ram, page, 1);
            }

            Thread.Sleep(Turn);
        }
    }
}
