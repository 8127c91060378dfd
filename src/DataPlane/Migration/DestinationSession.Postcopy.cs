using DataPlane.Admission;
using DataPlane.MainStream;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// A postcopy at its destination: the guest comes before its memory (specification, 4-postcopy section 4.8).
/// <code>
///   live       devices loaded -> the source is told (PONG) -> guest started -> memory complete -> SHUT 0
///   captured   the source is told -> everything is fetched -> the host commits -> SHUT 0
/// </code>
/// A live guest is ours from the moment at which the source is told. From then on a lost link is a pause, and no failure gives the guest
/// up. A captured guest runs nowhere, so up to SHUT 0 its source, which keeps all of it, may have it back.
/// </summary>
internal sealed partial class DestinationSession : IPostcopyEvents
{
    private PostcopyReceiver? _postcopy;
    private long _packageRead;
    private TimeSpan? _startDelay;
    private volatile Exception? _pause; // why the link was lost; null while there is a link
    private bool _hasGivenBack; // the source had ended its stream, heard SHUT 1, and closed

    void IPostcopyEvents.OnAdvise()
    {
        if (_guest is IPostcopyGuest)
        {
            CheckLive(UserfaultPageStore.CheckSupported);
        }
    }

    long IPostcopyEvents.HostPageSizeOf(RamBlock block) => _postcopy!.Ledger.HostPageSize(block);

    void IPostcopyEvents.OnStop()
    {
        NoteStop();
        Enter(MigrationPhase.Switchover);
    }

    void IPostcopyEvents.OnDiscard(RamBlock block, long firstPage, long pageCount) =>
        _postcopy!.Discard(block, firstPage, pageCount, atOnce: _options.MultifdChannels == 0);

    private void Hand(AdmittedChannel admitted)
    {
        switch (admitted.Kind)
        {
            case ChannelKind.Main when admitted.Recovered:
                _postcopy!.AttachRecovered(admitted.Channel, () => TakeRecovered(admitted));
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

    /// <summary>
    /// Prepares for postcopy when the RAM blocks are known. Whether postcopy works with them shows now, while the guest runs at its source.
    /// </summary>
    private void PreparePostcopy(ReceivedPages pages, IReadOnlyList<IncomingBlock> announced)
    {
        if (!_options.Postcopy)
        {
            return;
        }

        // The sizes of our host pages matter only if the guest may run here before its memory is complete.
        var sizes = announced.ToDictionary(static block => block.Name, static block => block.HostPageSize);
        var live = _guest is IPostcopyGuest;
        if (live && _reader!.IsPostcopyAdvised)
        {
            CheckSizes(pages.Memory, sizes);
            CheckLive(() => UserfaultPageStore.CheckBlocks(pages.Memory));
        }

        _postcopy = new PostcopyReceiver(pages, block => sizes[block.Name], live, _logger, _options.KernelFeatures, _staging)
        {
            OnPaused = OnPaused,
            OnRecoveryFailed = TellOfPause,
            OnResumed = OnResumed,
            PreemptIsExpected = _options.Preempt,
            MayHavePreempt = MayHavePreempt,
        };
        _host.Receiver = _postcopy;
    }

    private async Task<MigrationReport> RunPostcopyAsync(Channel main, DeviceState devices, IReadOnlyList<uint> pings, StallWatch? stall)
    {
        _packageRead = _time.GetTimestamp();
        var postcopy = _postcopy!;
        _multifd.CloseMemory(); // a packet that comes now fails its channel alone and writes nothing
        postcopy.Source = SourceTraits.Of(pings);
        CheckLive(() => postcopy.Listen(main, _reader!.RamSection));
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

    /// <summary>
    /// Whether the preempt channel may have connected without having reached the receiver yet: it is undecided, or was admitted this
    /// moment.
    /// </summary>
    private bool MayHavePreempt() => _options.Preempt
        && ((_postcopy!.Main?.PeerGroup is { } source && _admission.HasOpen(source)) || _admission.Admitted > _host.Handed);

    private async Task WatchMultifdAsync()
    {
        var failure = await _multifd.Failed.ConfigureAwait(false);
        if (_postcopy is not { IsListening: true })
        {
            _failure.Record(failure); // in postcopy no pages come on multifd
        }
    }

    private void OnPaused(Exception cause)
    {
        // The order matters: a recovery that comes in between is held, and is judged again when everything is known.
        _admission.ExpectRecovery();
        _pause = cause;
        NoteLostLink(_postcopy!);
        _host.IsPaused = _postcopy!.IsPaused;
        _admission.Recheck();
        Report();
        TellOfPause(cause);
    }

    /// <summary>Tells the custody that the link is lost, unless the source is proved to have heard that its guest is here.</summary>
    private void NoteLostLink(PostcopyReceiver postcopy)
    {
        if (postcopy.Proof.IsMissing)
        {
            _custody.On(DestinationEvent.LostBeforeProof);
        }
    }

    /// <summary>Tells the host of the pause. If the host fails then, the guest is here all the same, and its memory still comes.</summary>
    private void TellOfPause(Exception cause)
    {
        try
        {
            (_guest as IPostcopyGuest)?.OnPaused(new PostcopyPause(
                MigrationException.From(cause, _clock.Phase, _custody.Owner), _postcopy!.Proof.IsMissing));
        }
        catch (Exception failure)
        {
            PostcopyLog.ListenerFailed(_logger, failure);
        }
    }

    /// <summary>
    /// Takes <paramref name="admitted"/> as the link, because it has shown that it is the source's; the other recovered channels were
    /// strangers'.
    /// </summary>
    private void TakeRecovered(AdmittedChannel admitted)
    {
        _host.IsPaused = false;
        Add(admitted);
        _admission.ConfirmMain(admitted);
    }

    private void OnResumed()
    {
        _custody.On(DestinationEvent.SourceCameAgain);
        _pause = null;
        Report();
        (_guest as IPostcopyGuest)?.OnResumed(); // last, because what the host throws must not leave the rest undone
    }

    /// <summary>
    /// The way in which a paused source gets its guest back after this migration has failed. Null where no source can need it: the source
    /// has not announced a postcopy, the guest may run here, the source has its guest already, or it is one that never comes for it (a QEMU
    /// from 10.2 on, or this library).
    /// </summary>
    public GuestReturn? OfferReturn() =>
        !_hasGivenBack && _pages is { } pages && _reader is { IsPostcopyAdvised: true } reader
            && _postcopy is { Source: { TakesBack: false, IsOurs: false } } && !_custody.MayRunHere
            && !Announced.TakesGuestBack
            ? new GuestReturn(pages.Memory, reader.RamSection, SourceGroup(), _options.UndecidedTimeout, _time) : null;

    /// <summary>
    /// The <see cref="AdmittedChannel.PeerGroup"/> of main; null with TLS, which has shown of every peer that it is the source.
    /// </summary>
    private PeerGroup? SourceGroup() =>
        _options.Tls is null ? Admitted().First(static one => one.Kind == ChannelKind.Main).PeerGroup : null;

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
            try
            {
                await postcopy.DisposeAsync().ConfigureAwait(false);
            }
            finally
            {
                _host.Receiver = null;
            }
        }
    }

    private static void CheckSizes(GuestMemory memory, Dictionary<string, long> announced)
    {
        foreach (var block in memory.Blocks)
        {
            if (block.HostPageSize > announced[block.Name])
            {
                throw new ChannelException(
                    FailureReason.NotSupported,
                    ChannelId.Main,
                    $"RAM block '{block.Name}' has pages of {announced[block.Name]} bytes at the source and of {block.HostPageSize} here: "
                    + "postcopy needs the same");
            }
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
            throw new ChannelException(
                FailureReason.LocalFailure, ChannelId.Main,
                $"a guest cannot run here before its memory is complete: {failure.Message}", failure);
        }
    }
}
