namespace DataPlane.Tool.Postcopy;

/// <summary>
/// One running migration as <c>dataplane postcopy</c> sees and controls it: follows its progress, gives its link up, and resumes it over a
/// new one.
/// </summary>
/// <param name="command"><c>send</c> or <c>receive</c>.</param>
/// <param name="file">The path of the saved VM.</param>
/// <param name="address">The address at which the destination waits.</param>
/// <remarks>Thread-safe.</remarks>
internal sealed class ControlledMigration(string command, string file, ChannelAddress address) : IProgress<MigrationProgress>
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(4);

    private readonly Lock _gate = new();
    private TaskCompletionSource _changed = NewSource();
    private ChannelAddress _address = address;
    private MigrationProgress? _last;
    private string _state = PostcopyStates.Waiting;
    private int _pauses;

    /// <summary>Gives the link up; throws <see cref="InvalidOperationException"/> where there is no link.</summary>
    public required Action GiveUpLink { get; init; }

    /// <summary>Resumes the migration over a new link; null at a destination, to which the source comes.</summary>
    public Func<ChannelAddress, CancellationToken, Task>? GoOn { get; init; }

    /// <summary>Called at each pause, with its reason and with whether an attempt to end the pause before has failed.</summary>
    public required Action<string, bool> OnPaused { get; init; }

    public required Action OnResumed { get; init; }

    /// <summary>The state of the migration now.</summary>
    public PostcopyStatus Status(string control)
    {
        lock (_gate)
        {
            return new PostcopyStatus
            {
                Command = command,
                Pid = Environment.ProcessId,
                Control = control,
                File = file,
                Address = _address.ToString(),
                State = _state,
                PauseReason = _last?.PauseReason,
                Pauses = _pauses,
                TransferredBytes = _last?.TransferredBytes ?? 0,
                RemainingPages = GoOn is null || IsPause(_state) ? null : _last?.RemainingPages,
            };
        }
    }

    /// <summary>The newest report of the progress; null before the first.</summary>
    public MigrationProgress? Last
    {
        get
        {
            lock (_gate)
            {
                return _last;
            }
        }
    }

    /// <summary>Notes that the destination has failed and waits for its source.</summary>
    public void EnterReturning()
    {
        lock (_gate)
        {
            _state = PostcopyStates.Returning;
        }
    }

    public void Report(MigrationProgress value)
    {
        string before, now = StateOf(value);
        TaskCompletionSource changed;
        lock (_gate)
        {
            (_last, before, _state) = (value, _state, now);
            if (before == now)
            {
                return;
            }

            if (now == PostcopyStates.Paused && before != PostcopyStates.Recovering)
            {
                _pauses++;
            }

            (changed, _changed) = (_changed, NewSource());
        }

        changed.TrySetResult();
        if (now == PostcopyStates.Paused)
        {
            OnPaused(value.PauseReason ?? "the link is lost", before == PostcopyStates.Recovering);
        }
        else if (IsPause(before) && !IsPause(now))
        {
            OnResumed();
        }
    }

    /// <summary>Gives the link up, and returns null when the migration is paused, else the reason why it is not.</summary>
    public async Task<string?> PauseAsync(TimeProvider time, CancellationToken cancellation)
    {
        if (StateNow() is var state && state != PostcopyStates.Postcopy)
        {
            return IsPause(state) ? $"it is {state} already" : $"there is nothing to pause: its state is {state}";
        }

        try
        {
            GiveUpLink();
            await WaitAsync(static now => IsPause(now) || now == PostcopyStates.Completed).WaitAsync(s_patience, time, cancellation)
                .ConfigureAwait(false);
        }
        catch (InvalidOperationException refused)
        {
            return refused.Message;
        }
        catch (TimeoutException)
        {
            return $"it did not pause within {s_patience.TotalSeconds} s";
        }

        return StateNow() == PostcopyStates.Completed ? "it has completed instead" : null;
    }

    /// <summary>Resumes the migration, and returns null when pages flow again, else the reason why they do not.</summary>
    /// <param name="destination">The address at which the destination waits now; null when it is the same as before.</param>
    /// <param name="cancellation">Ends the wait, not the attempt.</param>
    public async Task<string?> ResumeAsync(ChannelAddress? destination, CancellationToken cancellation)
    {
        if (GoOn is null)
        {
            return "the source resumes, not the destination: 'dataplane postcopy resume' there, or QEMU's 'migrate -r'";
        }

        ChannelAddress address;
        lock (_gate)
        {
            if (_state != PostcopyStates.Paused)
            {
                return $"there is nothing to resume: its state is {_state}";
            }

            address = destination ?? _address;
            _address = address;
        }

        try
        {
            await GoOn(address, cancellation).ConfigureAwait(false);
            return null;
        }
        catch (InvalidOperationException refused)
        {
            return refused.Message;
        }
        catch (MigrationException failure)
        {
            return $"still paused: {failure.InnerException?.Message ?? failure.Message}";
        }
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static bool IsPause(string state) => state is PostcopyStates.Paused or PostcopyStates.Recovering;

    private static string StateOf(MigrationProgress value) => value switch
    {
        { IsRecovering: true } => PostcopyStates.Recovering,
        { IsPaused: true } => PostcopyStates.Paused,
        { Phase: MigrationPhase.Completed } => PostcopyStates.Completed,
        { Phase: MigrationPhase.Postcopy or MigrationPhase.Commit } => PostcopyStates.Postcopy,
        { Phase: MigrationPhase.Connecting } => PostcopyStates.Waiting,
        _ => PostcopyStates.Precopy,
    };

    private string StateNow()
    {
        lock (_gate)
        {
            return _state;
        }
    }

    private async Task WaitAsync(Func<string, bool> isReached)
    {
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (isReached(_state))
                {
                    return;
                }

                changed = _changed.Task;
            }

            await changed.ConfigureAwait(false);
        }
    }
}
