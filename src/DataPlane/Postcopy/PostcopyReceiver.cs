using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>
/// The memory of a destination after the switch to postcopy. Faults become requests, pages are placed as they come on main and on the
/// preempt channel, and a lost link is a pause once the guest is ours or is being fetched.
/// <code>
///   discarding   the source tells which pages are to come
///   listening    pages come; the guest is still the source's: a lost link ends all
///   outliving    the source is told that its guest is here: a lost link is a pause, until a recovered main channel is given
///   complete     the source has ended, and every page that was asked for is here
/// </code>
/// </summary>
/// <remarks>
/// The owner of the receiver decides what happens to the guest. Members are thread-safe only where they are documented so.
/// </remarks>
internal sealed class PostcopyReceiver : IAsyncDisposable
{
    private readonly ReceivedPages _pages;
    private readonly PageArrivals _arrivals;
    private readonly IncompleteMemory _memory;
    private readonly CurrentLink _link = new();
    private readonly LinkEnd _end;
    private readonly LinkRecovery _recovery;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new(); // without a timer it holds nothing to dispose of, and GiveUp may come late
    private uint _ramSection;
    private volatile bool _complete;
    private int _disposed;

    /// <param name="pages">The record of the pages that have arrived so far, and the memory.</param>
    /// <param name="settings">What to expect, and what may be taken.</param>
    /// <param name="proof">Is told what proves that the source has read that its guest is ours.</param>
    /// <param name="events">Is told of pauses and their end.</param>
    /// <param name="logger">Takes events 4100 to 4199.</param>
    public PostcopyReceiver(
        ReceivedPages pages,
        PostcopyReceiverSettings settings,
        HandoverProof proof,
        ILinkEvents events,
        ILogger logger)
    {
        _pages = pages;
        _logger = logger;
        Ledger = new PageLedger(pages, settings.HostPageSize);
        _memory = new IncompleteMemory(pages, Ledger, ReturnPath, settings.IsLive, settings.KernelFeatures);
        _arrivals = new PageArrivals(_memory.Store, Ledger, logger) { Staging = settings.Staging, Proof = proof };
        var listener = new LoggedLinkEvents(events, logger);
        _end = new LinkEnd(Ledger, settings, listener, logger, _stop.Token);
        _recovery = new LinkRecovery(Begin, _link, ReturnPath, pages, _arrivals, listener, logger, _stop.Token);
    }

    /// <summary>The memory of the guest.</summary>
    public GuestMemory Memory => _pages.Memory;

    /// <summary>The main channel of the present link; null while there is none. Thread-safe.</summary>
    public Channel? Main => _link.Main;

    /// <summary>The record of the pages that are here and of those that are asked for.</summary>
    public PageLedger Ledger { get; }

    /// <summary>The messages to the source, over one link after the other.</summary>
    public PostcopyReturnPath ReturnPath { get; } = new();

    /// <summary>The traits of the source, which are known from <see cref="Listen"/> on.</summary>
    public SourceTraits Source { get; private set; }

    /// <summary>Whether the link is lost and there is no new one yet. Thread-safe.</summary>
    public bool IsPaused => _recovery.IsPaused;

    /// <summary>
    /// Whether a lost link is a pause: the guest is ours, or all of it is being fetched for a host that does not run it. Thread-safe.
    /// </summary>
    public bool OutlivesLinks => _link.OutlivesLinks;

    /// <summary>Whether the switch is over and pages come one by one. Thread-safe.</summary>
    public bool IsListening => _link.HasBegun;

    /// <summary>
    /// Whether the link may be lost without anybody here having noticed: the guest is ours, and pages of it are still missing. Thread-safe.
    /// </summary>
    public bool MayBePaused => IsListening && !_complete && OutlivesLinks;

    /// <summary>
    /// Whether the source has sent the end of its stream. False again if pages have been lost with the preempt channel. Thread-safe.
    /// </summary>
    public bool SourceHasEnded => _end.SourceHasEnded;

    /// <summary>The number of target pages that came with their bytes.</summary>
    public long DataPages => _arrivals.DataPages;

    /// <summary>The number of target pages that came as zero pages.</summary>
    public long ZeroPages => _arrivals.ZeroPages;

    /// <summary>The number of target pages that came while they were asked for.</summary>
    public long AskedPages => _arrivals.AskedPages;

    /// <summary>The number of links after the first one.</summary>
    public int Recoveries => _recovery.Count;

    /// <summary>
    /// Completes when the memory is complete. Fails if the link is lost while the guest is still the source's; cancelled by
    /// <see cref="GiveUp"/>.
    /// </summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <inheritdoc cref="IncompleteMemory.Discard"/>
    public void Discard(RamBlock block, long firstPage, long pageCount, bool atOnce) =>
        _memory.Discard(block, firstPage, pageCount, atOnce);

    /// <summary>
    /// Begins the first link. The contents of missing pages are dropped, and if a guest will run on the memory, threads that touch them
    /// wait from now on.
    /// </summary>
    /// <param name="source">What the source has told of itself.</param>
    /// <param name="main">The main channel.</param>
    /// <param name="ramSection">The id of the ram section.</param>
    /// <exception cref="IOException">The kernel does not permit this process to wait for missing pages.</exception>
    public void Listen(SourceTraits source, Channel main, uint ramSection)
    {
        Source = source;
        _ramSection = ramSection;
        PostcopyLog.Listening(_logger, Ledger.CountMissing());
        ReturnPath.Use(main);
        ReturnPath.AllowRequests(Ledger);
        _memory.Arm(OnFaultFailed);
        Completion = RunAsync(Begin(main));
    }

    /// <summary>Makes a lost link a pause from now on. To be called before the source is told that its guest is here.</summary>
    public void OutliveLinks() => _link.OutliveLinks();

    /// <summary>Requests every missing page, for a guest that does not run here.</summary>
    public void Pull() => _memory.Pull(OnPullFailed);

    /// <inheritdoc cref="CurrentLink.AttachPreempt"/>
    public void AttachPreempt(Channel preempt) => _link.AttachPreempt(preempt);

    /// <inheritdoc cref="LinkRecovery.Attach(Channel, Action)"/>
    public void AttachRecovered(Channel main, Action chosen) => _recovery.Attach(main, chosen);

    /// <inheritdoc cref="CurrentLink.Probe"/>
    public void Probe(TimeSpan limit) => _link.Probe(limit);

    /// <summary>Breaks the link. This is a pause, or the end if the guest is still the source's. Thread-safe.</summary>
    public void Break(Exception cause) => _link.Break(cause);

    /// <summary>Breaks the link if that is a pause; does nothing if the guest is still the source's. Thread-safe.</summary>
    public void Pause() => _link.TryPause(new ChannelException(FailureReason.LocalFailure, ChannelId.Main, "paused here"));

    /// <summary>
    /// Gives up a guest that is ours: <see cref="Completion"/> is cancelled unless it is over. Does nothing if the guest is still the
    /// source's. Thread-safe.
    /// </summary>
    public void GiveUp()
    {
        if (OutlivesLinks)
        {
            _stop.Cancel();
            Break(ClosedByUs());
        }
    }

    /// <inheritdoc cref="IncompleteMemory.Release"/>
    public void Release() => _memory.Release();

    /// <summary>
    /// Ends everything. Missing pages of a guest that is ours become unreadable, because it must never take them for zeros.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        var teardown = new Teardown();
        await teardown.RunAsync(_stop.CancelAsync).ConfigureAwait(false);
        teardown.Run(() => Break(ClosedByUs()));
        await Completion.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await teardown.RunAsync(_link.CloseAsync).ConfigureAwait(false);
        teardown.Run(_memory.Dispose);
        teardown.Run(() => _memory.Leave(isGuestHere: OutlivesLinks && !_complete));
        teardown.ThrowIfFailed();
    }

    /// <summary>Reads one link after the other, until the memory is complete.</summary>
    private async Task RunAsync(PostcopyLink link)
    {
        while (await _end.WaitAsync(link, Source).ConfigureAwait(false) is { } failure)
        {
            await link.DisposeAsync().ConfigureAwait(false);
            ReturnPath.Use(null);
            if (!_link.Lose())
            {
                throw failure;
            }

            _stop.Token.ThrowIfCancellationRequested();
            link = await _recovery.RunAsync(failure).ConfigureAwait(false);
        }

        _complete = true;
        if (Ledger.CountMissing() is var missing and > 0)
        {
            PostcopyLog.LeftOut(_logger, missing);
        }

        PostcopyLog.Complete(_logger, AskedPages);
    }

    private PostcopyLink Begin(Channel main) =>
        _link.Begin(() => new PostcopyLink(main, _pages, _arrivals, ReturnPath, _ramSection));

    private void OnFaultFailed(Exception failure)
    {
        PostcopyLog.FaultFailed(_logger, failure);
        GiveLinkUp(failure is LinuxException
            ? new ChannelException(FailureReason.LocalFailure, ChannelId.Main, failure.Message, failure) : failure);
    }

    /// <summary>
    /// Gives the link up, because a request may be recorded that was never sent. Every open request is sent after the recovery, and the
    /// source sends all other pages by itself.
    /// </summary>
    private void OnPullFailed(Exception failure)
    {
        PostcopyLog.PullFailed(_logger, failure);
        GiveLinkUp(new ChannelException(FailureReason.LocalFailure, ChannelId.Main, failure.Message, failure));
    }

    /// <summary>
    /// Breaks the link because of a failure here. A QEMU that has been told that the guest is ours, has sent everything and waits for SHUT
    /// would run the guest again if main ended instead, so then only the host may end it (specification, 4-postcopy section 4.8.5).
    /// </summary>
    private void GiveLinkUp(Exception cause)
    {
        if (Source.IsOurs)
        {
            Break(cause);
        }
        else
        {
            _link.BreakBeforeEnd(cause);
        }
    }

    private static ChannelException ClosedByUs() => new(FailureReason.LocalFailure, ChannelId.Main, "closed by us");
}
