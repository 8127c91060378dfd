using System.Buffers.Binary;

namespace DataPlane.Tool.Bench;

/// <summary>The bench's live guest as a migration sees it. Its device state is the number of pages that it has written.</summary>
internal sealed class WorkloadGuest(Workload workload) : IMigratableGuest
{
    public const string Machine = "dataplane-bench-1.0";
    public const string Device = "dataplane/workload";

    public string MachineName => Machine;

    public Guid Uuid { get; } = Guid.NewGuid();

    public GuestMemory Memory => workload.Memory;

    public bool IsRunning => !workload.IsPaused;

    public IDirtyTracker CreateDirtyTracker() => workload.CreateTracker(out _);

    public ValueTask PauseAsync(CancellationToken cancellationToken)
    {
        workload.Pause();
        return default;
    }

    public ValueTask ResumeAsync()
    {
        workload.Resume();
        return default;
    }

    public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken)
    {
        var state = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(state, workload.PagesWritten);
        return new(DeviceState.Wrap(Device, state));
    }
}
