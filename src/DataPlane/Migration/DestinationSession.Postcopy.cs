using DataPlane.Admission;
using DataPlane.MainStream;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// The other way to arrive: the guest comes before its memory (specification, 4-postcopy section 4.8).
/// <code>
///   live       devices loaded -> the source is told (PONG) -> guest started -> memory complete -> SHUT 0
///   captured   the source is told -> everything is fetched -> the host commits -> SHUT 0
/// </code>
/// A live guest is ours from the moment the source is told: from then on a lost link is a pause and nothing lets the guest go. A captured one runs nowhere, so up to
/// SHUT 0 its source, which keeps all of it, may have it back.
/// </summary>
internal sealed partial class DestinationSession : IPostcopyEvents
{
    private PostcopyReceiver? _postcopy;
    private long _packageRead;
    private TimeSpan? _startDelay;
    private long _bytesWhenTold;

    void IPostcopyEvents.OnAdvise()
    {
        if (_guest is IPostcopyGuest)
        {
            CheckLive(LiveMemory.CheckSupported);
        }
    }

    long IPostcopyEvents.HostPageSizeOf(RamBlock block) => _postcopy!.Ledger.HostPageSize(block);

    void IPostcopyEvents.OnDiscard(RamBlock block, long firstPage, long pageCount)
    {
        NoteStop();
        Enter(MigrationPhase.Switchover);
        _postcopy!.Ledger.Discard(block, firstPage, pageCount);
    }

    private void Hand(AdmittedChannel admitted)
    {
        switch (admitted.Kind)
        {
            case ChannelKind.Main when admitted.Recovered:
                _postcopy!.AttachRecovered(admitted.Channel);
                break;
            case ChannelKind.Main:
                _mainAdmitted.TrySetResult(admitted.Channel);
                break;
            case ChannelKind.Preempt:
                _postcopy!.AttachPreempt(admitted.Channel);
                break;
            default:
                _multifd.Attach(admitted.Id, admitted.Channel);
                break;
        }
    }

    /// <summary>The blocks are known: whether postcopy works with them shows now, while the guest runs at its source.</summary>
    private void PreparePostcopy(ReceivedPages pages, IReadOnlyList<IncomingBlock> announced)
    {
        if (!_options.Postcopy)
        {
            return;
        }

        var sizes = announced.ToDictionary(static block => block.Name, static block => block.HostPageSize);
        foreach (var block in pages.Memory.Blocks)
        {
            if (block.HostPageSize > sizes[block.Name])
            {
                throw new ChannelException(
                    FailureReason.NotSupported,
                    "main",
                    $"RAM block '{block.Name}' has pages of {sizes[block.Name]} bytes at the source and of {block.HostPageSize} here: postcopy needs the same");
            }
        }

        var live = _guest is IPostcopyGuest;
        if (live && _reader!.IsPostcopyAdvised)
        {
            CheckLive(() => LiveMemory.CheckBlocks(pages.Memory));
        }

        _postcopy = new PostcopyReceiver(pages, block => sizes[block.Name], live, _pool, _logger)
        {
            OnPaused = OnPaused,
            OnResumed = () => (_guest as IPostcopyGuest)?.OnResumed(),
            MayHavePreempt = () => _options.Preempt && _admission.Undecided > 0,
        };
        _context.Receiver = _postcopy;
    }

    private async Task<MigrationReport> RunPostcopyAsync(Channel main, DeviceState devices, IReadOnlyList<uint> pings, StallWatch? stall)
    {
        _packageRead = _time.GetTimestamp();
        var postcopy = _postcopy!;
        _multifd.Pages = null; // a packet that comes now is an error of its channel alone, and touches nothing
        CheckLive(() => postcopy.Listen(main, _reader!.TakeRest(), _reader.RamSection));
        _failure.Token.ThrowIfCancellationRequested();
        _admission.Recheck();
        if (_guest is not IPostcopyGuest live)
        {
            return await CaptureAsync(main, devices, pings, stall).ConfigureAwait(false);
        }

        await LoadAsync(live, devices).ConfigureAwait(false);
        stall?.Dispose();
        return await RunLiveAsync(live, main, pings).ConfigureAwait(false);
    }

    /// <summary>Loads the devices while their pages come. A link that is lost meanwhile ends it: the guest is its source's.</summary>
    private async Task LoadAsync(IPostcopyGuest live, DeviceState devices)
    {
        var loading = Task.Run(() => live.LoadAsync(devices, _failure.Token).AsTask());
        if (await Task.WhenAny(loading, _postcopy!.Completion).ConfigureAwait(false) != loading && !_postcopy.Completion.IsCompletedSuccessfully)
        {
            // Whoever loads may wait for a page that never comes; nobody will run on what it gets instead.
            _postcopy.Release();
            await loading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _postcopy.Completion.ConfigureAwait(false);
        }

        await loading.ConfigureAwait(false);
    }

    private async Task<MigrationReport> RunLiveAsync(IPostcopyGuest live, Channel main, IReadOnlyList<uint> pings)
    {
        var postcopy = _postcopy!;
        if (Interlocked.CompareExchange(ref _commitState, Committing, Open) != Open)
        {
            throw new OperationCanceledException();
        }

        postcopy.Own();
        Tell(pings, "nothing was started here; it may run on at its source");
        Volatile.Write(ref _commitState, Committed);
        var failedStart = await StartLiveAsync(live).ConfigureAwait(false);
        var downtime = _time.GetElapsedTime(_ramComplete);
        _startDelay = _time.GetElapsedTime(_packageRead);
        Enter(MigrationPhase.Postcopy);
        await WaitForMemoryAsync(postcopy).ConfigureAwait(false);
        SayGoodbye();
        postcopy.Release();
        await CloseAsync(postcopy.Main ?? main).ConfigureAwait(false);
        await live.CompleteAsync(_pages!).ConfigureAwait(false);
        var report = Complete(downtime);
        return failedStart is null ? report : throw NotStarted(failedStart);
    }

    /// <summary>A guest that does not start is ours nevertheless: its memory goes on coming.</summary>
    private static async Task<Exception?> StartLiveAsync(IPostcopyGuest live)
    {
        try
        {
            await live.StartAsync(CancellationToken.None).ConfigureAwait(false);
            return null;
        }
        catch (Exception failure)
        {
            return failure;
        }
    }

    private static async Task WaitForMemoryAsync(PostcopyReceiver postcopy)
    {
        try
        {
            await postcopy.Completion.ConfigureAwait(false);
        }
        catch (OperationCanceledException closed)
        {
            throw new MigrationException(
                FailureReason.GuestAtDestination,
                MigrationPhase.Postcopy,
                channel: null,
                $"the destination was closed while {postcopy.Ledger.CountMissing()} pages of its guest were missing: it cannot go on where it needs them",
                closed);
        }
    }

    /// <summary>The source must hear that all is well, or it may run the guest a second time; but if it is gone, the guest is here all the same.</summary>
    private void SayGoodbye()
    {
        try
        {
            _postcopy!.ReturnPath.SendShut(success: true);
        }
        catch (ChannelException lost)
        {
            MigrationLog.SourceNotTold(_logger, lost.Message);
        }
    }

    private async Task<MigrationReport> CaptureAsync(Channel main, DeviceState devices, IReadOnlyList<uint> pings, StallWatch? stall)
    {
        var postcopy = _postcopy!;
        Enter(MigrationPhase.Postcopy);
        postcopy.Own();
        Tell(pings, "nothing was kept here");
        postcopy.Pull();
        await postcopy.Completion.WaitAsync(_failure.Token).ConfigureAwait(false);
        stall?.Dispose();
        postcopy.Release();
        await CommitAsync(devices).ConfigureAwait(false);
        var report = Complete();
        await StartAsync(postcopy.Main ?? main).ConfigureAwait(false);
        return report;
    }

    /// <summary>Answers the PINGs of the package: with that the source gives the guest up.</summary>
    private void Tell(IReadOnlyList<uint> pings, string where)
    {
        try
        {
            Volatile.Write(ref _bytesWhenTold, ReceivedBytes);
            foreach (var ping in pings)
            {
                _postcopy!.ReturnPath.SendPong(ping);
            }
        }
        catch (ChannelException lost)
        {
            throw new ChannelException(
                FailureReason.OutcomeUnknown, "main", $"the guest's devices have arrived, but the source was gone before it could be told: {where}", lost);
        }
    }

    private void OnPaused(Exception cause)
    {
        _admission.ExpectRecovery();
        (_guest as IPostcopyGuest)?.OnPaused(new PostcopyPause(
            MigrationException.From(cause, _clock.Phase), ReceivedBytes == Volatile.Read(ref _bytesWhenTold)));
    }

    private PostcopyReport? DescribePostcopy() => _postcopy is not { IsListening: true } postcopy ? null : new PostcopyReport
    {
        StartDelay = _startDelay,
        PackageBytes = _reader!.PackageBytes,
        Requests = postcopy.ReturnPath.Requests,
        RequestedPages = postcopy.AskedPages,
        Recoveries = postcopy.Recoveries,
    };

    private async Task EndPostcopyAsync()
    {
        if (_postcopy is { } postcopy)
        {
            await postcopy.DisposeAsync().ConfigureAwait(false);
            _context.Receiver = null;
        }
    }

    private static void CheckLive(Action check)
    {
        try
        {
            check();
        }
        catch (IOException failure) when (failure is not ChannelException)
        {
            throw new ChannelException(FailureReason.LocalFailure, "main", $"a guest cannot run here before its memory is complete: {failure.Message}", failure);
        }
    }
}
