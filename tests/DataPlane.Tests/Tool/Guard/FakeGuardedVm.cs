using DataPlane.Tool.Guard;

namespace DataPlane.Tests.Tool.Guard;

/// <summary>A guarded VM whose migration goes as the test says.</summary>
internal sealed class FakeGuardedVm(VmSettings settings) : IGuardedVm
{
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile string _state = VmStatus.StatePreparing;

    public VmSettings Settings => settings;

    public Exception? StartFailure { get; init; }

    public int Looks { get; private set; }

    public bool IsDisposed { get; private set; }

    public string State
    {
        get => _state;
        set => _state = value;
    }

    public void End(string state)
    {
        State = state;
        _over.SetResult();
    }

    public Task StartAsync(CancellationToken cancellation)
    {
        if (StartFailure is not null)
            return Task.FromException(StartFailure);
        State = VmStatus.StateWaiting;
        return Task.CompletedTask;
    }

    public Task RunAsync(CancellationToken cancellation) => _over.Task.WaitAsync(cancellation);

    public VmStatus Status()
    {
        Looks++;
        return new VmStatus { Name = settings.Name, Listen = "192.0.2.1:4444", State = State, Error = State == VmStatus.StateFailed ? "main: reset" : null };
    }

    public ValueTask DisposeAsync()
    {
        IsDisposed = true;
        return ValueTask.CompletedTask;
    }
}
