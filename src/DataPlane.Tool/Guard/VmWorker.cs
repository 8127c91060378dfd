namespace DataPlane.Tool.Guard;

/// <summary>The events of a worker. They may come from any thread.</summary>
internal interface IGuardEvents
{
    /// <summary>The VM's address has been opened, and QEMU is ready behind it.</summary>
    void Listening(VmStatus vm);

    /// <summary>A migration has completed or failed.</summary>
    void Ended(VmStatus vm);

    /// <summary>The VM cannot be guarded now. This is reported once per reason; the worker goes on trying.</summary>
    void CannotStart(string name, string reason);
}

/// <summary>Guards one VM: a single migration for a command that ends with it, or one QEMU after the other for a service.</summary>
/// <remarks>
/// <code>
/// preparing --QEMU waits, address open--> waiting .. relaying .. --the migration is over--> completed | failed
///     ^    (again after 1 to 10 s)                                                                 |
///     +--------------------------------- a QEMU waits again at the same address -------------------+
/// </code>
/// </remarks>
internal sealed class VmWorker(VmSettings initial, Func<VmSettings, IGuardedVm> create, IGuardEvents events, TimeProvider time)
    : IDisposable
{
    private static readonly TimeSpan s_firstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromSeconds(10);

    // Rates are counted between two snapshots, so calls at short intervals share one.
    private static readonly TimeSpan s_freshness = TimeSpan.FromMilliseconds(200);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _retire = new();
    private readonly TaskCompletionSource _tried = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private VmSettings _settings = initial;
    private IGuardedVm? _employed; // from before its start to its end
    private IGuardedVm? _vm;       // while its address is open
    private VmStatus? _latest;
    private long _latestTimestamp;
    private string? _error;
    private int _completed;
    private int _failed;
    private bool _retired;

    public string Name { get; } = initial.Name;

    /// <summary>The settings of the next attempt. A migration that is under way, or awaited, keeps those it began with.</summary>
    public VmSettings Settings
    {
        get
        {
            lock (_lock)
            {
                return _settings;
            }
        }

        set
        {
            lock (_lock)
            {
                _settings = value;
            }
        }
    }

    /// <summary>
    /// Completes when the VM has been tried once: its address has been open, it has been reported why it could not be opened, or the worker
    /// has ended.
    /// </summary>
    public Task Tried => _tried.Task;

    /// <summary>Guards one migration, and returns the state in which it ended.</summary>
    /// <exception cref="Exception">The guard could not begin.</exception>
    public async Task<VmStatus> ServeOnceAsync(CancellationToken cancellation)
    {
        var vm = create(Settings);
        await using (vm.ConfigureAwait(false))
        {
            try
            {
                Employ(vm);
                await vm.StartAsync(cancellation).ConfigureAwait(false);
                Begin(vm);
                events.Listening(Status());
                _tried.TrySetResult();
                await vm.RunAsync(cancellation).ConfigureAwait(false);
            }
            finally
            {
                End(vm);
            }
        }

        var ended = Status();
        if (ended.State != VmStatus.StateStopped)
        {
            events.Ended(ended);
        }

        return ended;
    }

    /// <summary>Guards one QEMU after the other until it is retired.</summary>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public async Task ServeForeverAsync(CancellationToken cancellation)
    {
        try
        {
            await ServeUntilRetiredAsync(cancellation).ConfigureAwait(false);
        }
        finally
        {
            _tried.TrySetResult();
        }
    }

    private async Task ServeUntilRetiredAsync(CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _retire.Token);
        var pause = s_firstPause;
        while (!IsRetired)
        {
            try
            {
                await ServeOnceAsync(stop.Token).ConfigureAwait(false);
                pause = s_firstPause;
            }
            // Whatever is wrong with one VM must not end the guard of the others: it is reported, and the worker tries again.
#pragma warning disable CA1031
            catch (Exception exception) when (!stop.IsCancellationRequested && !IsRetired)
#pragma warning restore CA1031
            {
                Remember(exception.Message);
            }
            catch (Exception) when (!cancellation.IsCancellationRequested)
            {
                return;
            }

            if (IsRetired)
            {
                return;
            }

            await Task.Delay(pause, time, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellation.ThrowIfCancellationRequested();
            pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
        }
    }

    /// <summary>
    /// Ends the guard of this VM: at once, or when the migration that is under way is over. This is decided where channels are admitted, so
    /// that a migration that has just begun is not overlooked.
    /// </summary>
    public void Retire()
    {
        IGuardedVm? employed;
        lock (_lock)
        {
            _retired = true;
            employed = _employed;
            employed?.Retire();
        }

        if (employed is null)
        {
            _retire.Cancel(); // the worker waits for its next attempt
        }
    }

    /// <summary>
    /// The state of the VM; while a new QEMU is awaited, the state in which the last migration ended, and why the next one cannot be
    /// guarded yet.
    /// </summary>
    public VmStatus Status()
    {
        lock (_lock)
        {
            if (_vm is not null && (_latest is null || time.GetElapsedTime(_latestTimestamp) >= s_freshness))
            {
                _latest = _vm.Status();
                _latestTimestamp = time.GetTimestamp();
            }

            var status = _latest ?? new VmStatus
            {
                Name = Name,
                Listen = _settings.Listen.ToString(),
                State = VmStatus.StatePreparing,
            };
            var error = status.Error is { } ended && _error is { } since ? $"{ended}; since then: {since}" : status.Error ?? _error;
            return status with { Completed = _completed, Failed = _failed, Error = error };
        }
    }

    private bool IsRetired
    {
        get
        {
            lock (_lock)
            {
                return _retired;
            }
        }
    }

    private void Employ(IGuardedVm vm)
    {
        lock (_lock)
        {
            _employed = vm;
            if (_retired)
            {
                vm.Retire();
            }
        }
    }

    private void Begin(IGuardedVm vm)
    {
        lock (_lock)
        {
            _vm = vm;
            _latest = null;
            _error = null;
        }
    }

    private void End(IGuardedVm vm)
    {
        lock (_lock)
        {
            _employed = null;
            if (_vm is null)
            {
                return;
            }

            _vm = null;
            _latest = vm.Status();
            _completed += _latest.State == VmStatus.StateCompleted ? 1 : 0;
            _failed += _latest.State == VmStatus.StateFailed ? 1 : 0;
        }
    }

    private void Remember(string reason)
    {
        bool isNew;
        lock (_lock)
        {
            isNew = _error != reason;
            _error = reason;
        }

        if (isNew)
        {
            events.CannotStart(Name, reason);
        }

        _tried.TrySetResult();
    }

    public void Dispose() => _retire.Dispose();
}
