using DataPlane.Linux;
using DataPlane.Memory;
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
internal sealed partial class PostcopyReceiver : IAsyncDisposable
{
    private readonly ReceivedPages _pages;
    private readonly PageArrivals _arrivals;
    private readonly UserfaultPageStore? _userfaultStore;
    private readonly DirectPageStore? _directStore;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new(); // without a timer it holds nothing to dispose of, and GiveUp may come late
    private readonly Lock _gate = new();
    private FaultReader? _faults;
    private PagePuller? _puller;
    private PostcopyLink? _link;
    private uint _ramSection;
    private bool _outlivesLinks;
    private volatile bool _complete;
    private int _disposed;

    /// <param name="pages">The record of the pages that have arrived so far, and the memory.</param>
    /// <param name="hostPageSize">Returns the size of a host page of a block in bytes: the source's, or ours if that is larger.</param>
    /// <param name="live">Whether a guest runs on the memory while pages are missing.</param>
    /// <param name="logger">Takes events 4100 to 4199.</param>
    /// <param name="kernelFeatures">Optional features of userfaultfd, which the kernel is asked for if it has them.</param>
    /// <param name="staging">The limit on the memory for host pages that come in pieces; null for no limit.</param>
    public PostcopyReceiver(
        ReceivedPages pages,
        Func<RamBlock, long> hostPageSize,
        bool live,
        ILogger logger,
        UserfaultFeatures kernelFeatures = UserfaultFeatures.Poison,
        StagingBudget? staging = null)
    {
        _pages = pages;
        _logger = logger;
        Ledger = new PageLedger(pages, hostPageSize);
        _userfaultStore = live ? new UserfaultPageStore(pages, Ledger, kernelFeatures) : null;
        _directStore = live ? null : new DirectPageStore(pages);
        _arrivals = new PageArrivals((IPageStore?)_userfaultStore ?? _directStore!, Ledger, logger)
        {
            Staging = staging ?? new StagingBudget(long.MaxValue),
        };
    }

    /// <summary>The memory of the guest.</summary>
    public GuestMemory Memory => _pages.Memory;

    /// <summary>The main channel of the present link; null while there is none.</summary>
    public Channel? Main { get; private set; }

    /// <summary>The record of the pages that are here and of those that are asked for.</summary>
    public PageLedger Ledger { get; }

    /// <summary>The messages to the source, over one link after the other.</summary>
    public PostcopyReturnPath ReturnPath { get; } = new();

    /// <summary>The traits of the source. To be set before <see cref="Listen"/>.</summary>
    public SourceTraits Source { get; set; }

    /// <summary>
    /// Called from any thread when the link is lost and the guest waits. From then on a recovered main channel is taken. It is also called
    /// when requested pages are lost with the preempt channel of a QEMU that has ended: then the link still stands.
    /// </summary>
    public Action<Exception>? OnPaused { get; init; }

    /// <summary>Called from any thread when the migration goes on over a new link.</summary>
    public Action? OnResumed { get; init; }

    /// <summary>
    /// Returns whether a connection waits that may prove to be the preempt channel or a stranger. The default returns false.
    /// </summary>
    public Func<bool> MayHavePreempt { get; init; } = static () => false;

    /// <summary>Whether a preempt channel may exist: then pages that are missing at the end may have been lost with it.</summary>
    public bool PreemptIsExpected { get; init; }

    /// <summary>Whether the link is lost and there is no new one yet. Thread-safe.</summary>
    public bool IsPaused { get; private set; }

    /// <summary>
    /// Whether a lost link is a pause: the guest is ours, or all of it is being fetched for a host that does not run it. Thread-safe.
    /// </summary>
    public bool OutlivesLinks
    {
        get
        {
            lock (_gate)
            {
                return _outlivesLinks;
            }
        }
    }

    /// <summary>Whether the source is proven to have read that its guest is ours.</summary>
    public HandoverProof Proof => _arrivals.Proof;

    /// <summary>Whether the switch is over and pages come one by one. Thread-safe.</summary>
    public bool IsListening { get; private set; }

    /// <summary>
    /// Whether the source has sent the end of its stream. False again if pages have been lost with the preempt channel. Thread-safe.
    /// </summary>
    public bool SourceHasEnded { get; private set; }

    /// <summary>The number of target pages that came with their bytes.</summary>
    public long DataPages => _arrivals.DataPages;

    /// <summary>The number of target pages that came as zero pages.</summary>
    public long ZeroPages => _arrivals.ZeroPages;

    /// <summary>The number of target pages that came while they were asked for.</summary>
    public long AskedPages => _arrivals.AskedPages;

    /// <summary>The number of times that a thread had to wait for a page.</summary>
    public long Faults => _faults?.Faults ?? 0;

    /// <summary>The number of links after the first one.</summary>
    public int Recoveries { get; private set; }

    /// <summary>
    /// Completes when the memory is complete. Fails if the link is lost while the guest is still the source's; cancelled by
    /// <see cref="GiveUp"/>.
    /// </summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>
    /// Begins the first link. The contents of missing pages are dropped, and if a guest will run on the memory, threads that touch them
    /// wait from now on.
    /// </summary>
    /// <exception cref="IOException">The kernel does not permit this process to wait for missing pages.</exception>
    public void Listen(Channel main, uint ramSection)
    {
        _ramSection = ramSection;
        PostcopyLog.Listening(_logger, Ledger.CountMissing());
        ReturnPath.Use(main);
        ReturnPath.AllowRequests(Ledger);
        if (_userfaultStore is not null)
        {
            _userfaultStore.Arm();
            _faults = new FaultReader(_userfaultStore, Ledger, ReturnPath, OnFaultFailed);
        }

        IsListening = true;
        Completion = RunAsync(Begin(main));
    }

    /// <summary>Makes a lost link a pause from now on. To be called before the source is told that its guest is here.</summary>
    public void OutliveLinks()
    {
        lock (_gate)
        {
            _outlivesLinks = true;
        }
    }

    /// <summary>Requests every missing page, for a guest that does not run here.</summary>
    public void Pull() => _puller = new PagePuller(_pages.Memory, Ledger, ReturnPath, OnPullFailed);

    /// <summary>Takes the preempt channel, which has been proven. It is aborted if there is no link. Thread-safe.</summary>
    public void AttachPreempt(Channel preempt)
    {
        lock (_gate)
        {
            if (_link is { } link)
            {
                link.AttachPreempt(preempt);
            }
            else
            {
                preempt.Abort();
            }
        }
    }

    /// <summary>Breaks the link. This is a pause, or the end if the guest is still the source's. Thread-safe.</summary>
    public void Break(Exception cause)
    {
        lock (_gate)
        {
            _link?.Break(cause);
        }
    }

    /// <summary>Breaks the link if that is a pause; does nothing if the guest is still the source's. Thread-safe.</summary>
    public void Pause()
    {
        lock (_gate)
        {
            if (_outlivesLinks)
            {
                _link?.Break(new ChannelException(FailureReason.LocalFailure, ChannelId.Main, "paused here"));
            }
        }
    }

    /// <summary>
    /// Gives up a guest that is ours: <see cref="Completion"/> is cancelled unless it is over. Does nothing if the guest is still the
    /// source's. Thread-safe.
    /// </summary>
    public void GiveUp()
    {
        bool outlivesLinks;
        lock (_gate)
        {
            outlivesLinks = _outlivesLinks;
        }

        if (outlivesLinks)
        {
            _stop.Cancel();
            Break(new ChannelException(FailureReason.LocalFailure, ChannelId.Main, "closed by us"));
        }
    }

    /// <summary>Turns the memory into ordinary memory again, because it is complete or no guest will ever run on it.</summary>
    public void Release()
    {
        _faults?.Dispose();
        _faults = null;
        _userfaultStore?.Release();
        _directStore?.ClearMissing();
    }

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
        teardown.Run(() => Break(new ChannelException(FailureReason.LocalFailure, ChannelId.Main, "closed by us")));
        await Completion.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_link is { } link)
        {
            await teardown.RunAsync(() => link.DisposeAsync().AsTask()).ConfigureAwait(false);
        }

        teardown.Run(() => _puller?.Dispose());
        teardown.Run(() => _faults?.Dispose());
        teardown.Run(() =>
        {
            if (_outlivesLinks && !_complete)
            {
                _userfaultStore?.Poison();
            }
            else
            {
                _userfaultStore?.Release();
            }
        });
        teardown.ThrowIfFailed();
    }
}
