using DataPlane.Tool.Guard;

namespace DataPlane.Tests.Tool.Guard;

/// <summary>A guarded VM whose migration goes as the test says.</summary>
internal sealed class FakeGuardedVm(VmSettings settings) : IGuardedVm
{
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile string _state = VmStatus.StatePreparing;

    public VmSettings Settings => settings;

    public Exception? StartFailure { get; init; }

    /// <summary>What the start waits for.</summary>
    public Task MayStart { get; init; } = Task.CompletedTask;

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

    public async Task StartAsync(CancellationToken cancellation)
    {
        await MayStart.WaitAsync(cancellation);
        if (StartFailure is not null)
        {
            throw StartFailure;
        }

        State = VmStatus.StateWaiting;
    }

    public Task RunAsync(CancellationToken cancellation) => _over.Task.WaitAsync(cancellation);

    /// <summary>What happens between the question whether it is at work and the answer.</summary>
    public Action? BeforeRetiring { get; set; }

    public void Retire()
    {
        BeforeRetiring?.Invoke();
        if (State == VmStatus.StateWaiting)
        {
            End(VmStatus.StateStopped);
        }
    }

    public VmStatus Status()
    {
        Looks++;
        return new VmStatus
        {
            Name = settings.Name,
            Listen = "192.0.2.1:4444",
            State = State,
            Error = State == VmStatus.StateFailed ? "main: reset" : null,
        };
    }

    public ValueTask DisposeAsync()
    {
        IsDisposed = true;
        return ValueTask.CompletedTask;
    }
}
