using System.Buffers.Binary;

namespace DataPlane.Tests.Embedding;

/// <summary>
/// The guest of docs/embedding.md: a thread that writes memory takes the place of processors. What it does follows from the number of its
/// steps alone. It uses nothing of the library that is not public.
/// </summary>
internal sealed class SmallVm : IMigratableGuest, IIncomingGuest, IDisposable
{
    private const string Machine = "dataplane-small-1.0";
    private const string Device = "small-vm";
    private const string RamName = "small.ram";
    private const long RamBytes = 16 << 20;
    private const int WrittenPages = 64;

    private GuestMemory? _memory;
    private RecordedDirtyTracker? _written;
    private Thread? _processor;
    private volatile bool _isRunning;
    private long _steps;

    /// <summary>A new VM that stands still: one half of its pages holds data, the other zeros.</summary>
    public static SmallVm Create()
    {
        var vm = new SmallVm();
        vm.Allocate();
        for (long page = 0; page < vm.Ram.PageCount / 2; page++)
        {
            vm.Ram.Span(page * TargetPage.Size, TargetPage.Size).Fill((byte)((page % 255) + 1));
        }

        return vm;
    }

    public GuestMemory Memory => _memory ?? throw new InvalidOperationException("this VM has no memory yet");

    private RamBlock Ram => Memory.Blocks[0];

    private GuestMemory Allocate()
    {
        var ram = RamBlock.Allocate(RamName, RamBytes, RamAllocation.Default);
        _memory = new GuestMemory([ram]);
        _written = new RecordedDirtyTracker(_memory);
        return _memory;
    }

    public bool IsRunning => _isRunning;

    public long Steps => Volatile.Read(ref _steps);

    public void Run()
    {
        _isRunning = true;
        _processor = new Thread(Execute) { Name = "small-vm", IsBackground = true };
        _processor.Start();
    }

    public void Step()
    {
        var step = Interlocked.Increment(ref _steps);
        var page = step & (WrittenPages - 1);
        BinaryPrimitives.WriteInt64LittleEndian(Ram.Span(page * TargetPage.Size, sizeof(long)), step);
        _written!.MarkWritten(Ram, page, 1); // after the write, never before it
    }

    private void Execute()
    {
        while (_isRunning)
        {
            Step();
            Thread.Sleep(1);
        }
    }

    private void Halt()
    {
        _isRunning = false;
        _processor?.Join(); // nothing writes the memory any more
        _processor = null;
    }

    public string MachineName => Machine;

    public Guid Uuid { get; private set; } = Guid.NewGuid();

    public bool ValidatesUuid => true; // the UUID goes along without multifd channels, too

    public IDirtyTracker CreateDirtyTracker() =>
        PagemapDirtyTracker.IsSupported(out _) ? new PagemapDirtyTracker(Memory) : _written!;

    public ValueTask PauseAsync(CancellationToken cancellationToken)
    {
        Halt();
        return ValueTask.CompletedTask;
    }

    public ValueTask ResumeAsync()
    {
        Run();
        return ValueTask.CompletedTask;
    }

    public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken)
    {
        var state = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(state, Steps);
        return ValueTask.FromResult(DeviceState.Wrap(Device, state));
    }

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        if (machine.Name != Machine || blocks.Count != 1 || blocks[0].Name != RamName || blocks[0].Length != RamBytes)
        {
            throw new NotSupportedException($"expected was a {Machine} with one RAM block, '{machine.Name}' with other memory has come");
        }

        Uuid = machine.Uuid ?? Uuid;
        return ValueTask.FromResult(Allocate());
    }

    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken)
    {
        Volatile.Write(ref _steps, BinaryPrimitives.ReadInt64BigEndian(devices.Unwrap(Device).Span));
        return ValueTask.CompletedTask;
    }

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        Run();
        return ValueTask.CompletedTask;
    }

    public ValueTask AbandonAsync(Exception cause)
    {
        Dispose();
        return ValueTask.CompletedTask;
    }

    public void Dispose()
    {
        Halt();
        _memory?.Dispose();
    }
}
