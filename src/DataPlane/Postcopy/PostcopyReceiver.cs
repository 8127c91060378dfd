using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>
/// The destination's memory after the switch to postcopy: faults become requests, pages are placed as they come on main and on the preempt
/// channel, and a lost link
/// is a pause once the guest is ours, or is being fetched.
/// <code>
///   discarding   the source tells which pages are to come
///   listening    pages come; the guest is still the source's: a lost link ends all
///   outliving    the source is told that its guest is here: a lost link is a pause, until a recovered main channel is given
///   complete     the source has ended, and every page that was asked for is here
/// </code>
/// </summary>
/// <remarks>What it does with the guest is decided by its owner. Thread-safe where it says so.</remarks>
internal sealed partial class PostcopyReceiver : IAsyncDisposable
{
    private readonly ReceivedPages _pages;
    private readonly PageArrivals _arrivals;
    private readonly LiveMemory? _live;
    private readonly PlainMemory? _plain;
    private readonly BlockPool _pool;
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

    /// <param name="pages">What has arrived so far, and the memory.</param>
    /// <param name="hostPageSize">Bytes of a host page of each block: the source's, or ours where that is larger.</param>
    /// <param name="live">A guest runs on the memory while pages are missing.</param>
    /// <param name="pool">Gives a block per channel.</param>
    /// <param name="logger">Takes events 4100 to 4199.</param>
    /// <param name="kernelFeatures">What the kernel is asked for, where it has it.</param>
    /// <param name="staging">What host pages that come in pieces may take; without it as much as they need.</param>
    public PostcopyReceiver(
        ReceivedPages pages,
        Func<RamBlock, long> hostPageSize,
        bool live,
        BlockPool pool,
        ILogger logger,
        UserfaultFeatures kernelFeatures = UserfaultFeatures.Poison,
        StagingBudget? staging = null)
    {
        _pages = pages;
        _pool = pool;
        _logger = logger;
        Ledger = new PageLedger(pages, hostPageSize);
        _live = live ? new LiveMemory(pages, Ledger, kernelFeatures) : null;
        _plain = live ? null : new PlainMemory(pages);
        _arrivals = new PageArrivals((IPageStore?)_live ?? _plain!, Ledger, logger)
        {
            Staging = staging ?? new StagingBudget(long.MaxValue),
        };
    }

    public GuestMemory Memory => _pages.Memory;

    /// <summary>The main channel of the present link; null while there is none.</summary>
    public Channel? Main { get; private set; }

    /// <summary>What is here and what is asked for.</summary>
    public PageLedger Ledger { get; }

    public PostcopyReturnPath ReturnPath { get; } = new();

    /// <summary>Who sends. Set before <see cref="Listen"/>.</summary>
    public SourceTraits Source { get; set; }

    /// <summary>Told, from any thread, that the link is lost and the guest waits: a recovered main channel is let in now.</summary>
    public Action<Exception>? OnPaused { get; init; }

    /// <summary>Told, from any thread, that the migration goes on over a new link.</summary>
    public Action? OnResumed { get; init; }

    /// <summary>Whether a candidate of the preempt channel waits still to be told from strangers.</summary>
    public Func<bool> MayHavePreempt { get; init; } = static () => false;

    /// <summary>A preempt channel may be there: then pages that are missing at the end may have been lost with it.</summary>
    public bool PreemptIsExpected { get; init; }

    /// <summary>The link is lost and no new one is there. Thread-safe.</summary>
    public bool IsPaused { get; private set; }

    /// <summary>
    /// A lost link is a pause: the guest is ours, or all of it is fetched for a host that does not run it. Thread-safe.
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

    /// <summary>Whether the source knows that its guest is ours.</summary>
    public HandoverProof Proof => _arrivals.Proof;

    /// <summary>The switch is over: pages come one by one. Thread-safe.</summary>
    public bool IsListening { get; private set; }

    /// <summary>The source has said that it has sent everything. Thread-safe.</summary>
    public bool SourceHasEnded { get; private set; }

    public long DataPages => _arrivals.DataPages;

    public long ZeroPages => _arrivals.ZeroPages;

    /// <summary>Pages that came while they were asked for.</summary>
    public long AskedPages => _arrivals.AskedPages;

    /// <summary>Times that threads had to wait for a page.</summary>
    public long Faults => _faults?.Faults ?? 0;

    /// <summary>Links after the first.</summary>
    public int Recoveries { get; private set; }

    /// <summary>Completes when the memory is complete; fails when the link is lost while the guest is the source's.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>The first link begins. What is missing is given up, and from now on waited for where a guest will run.</summary>
    /// <exception cref="IOException">The kernel does not let us wait for missing pages.</exception>
    public void Listen(Channel main, ReadOnlyMemory<byte> rest, uint ramSection)
    {
        _ramSection = ramSection;
        PostcopyLog.Listening(_logger, Ledger.CountMissing());
        ReturnPath.Use(main);
        ReturnPath.AllowRequests(Ledger);
        if (_live is not null)
        {
            _live.Arm();
            _faults = new FaultReader(_live, Ledger, ReturnPath, OnFaultFailed);
        }

        IsListening = true;
        Completion = RunAsync(Begin(main, rest));
    }

    /// <summary>A lost link is a pause from now on. To be called before the source is told that its guest is here.</summary>
    public void OutliveLinks()
    {
        lock (_gate)
        {
            _outlivesLinks = true;
        }
    }

    /// <summary>Asks for every missing page; for a guest that does not run here.</summary>
    public void Pull() => _puller = new PagePuller(_pages.Memory, Ledger, ReturnPath);

    /// <summary>The preempt channel has proved itself. Thread-safe.</summary>
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

    /// <summary>Breaks the link: a pause, or the end while the guest is the source's. Thread-safe.</summary>
    public void Break(Exception cause)
    {
        lock (_gate)
        {
            _link?.Break(cause);
        }
    }

    /// <summary>Breaks the link of a guest that is ours. Thread-safe.</summary>
    public void Pause()
    {
        lock (_gate)
        {
            if (_outlivesLinks)
            {
                _link?.Break(new ChannelException(FailureReason.LocalFailure, "main", "paused here"));
            }
        }
    }

    /// <summary>
    /// Nothing more will come for a guest that is ours: <see cref="Completion"/> is cancelled unless it is over. Thread-safe.
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
            Break(new ChannelException(FailureReason.LocalFailure, "main", "closed by us"));
        }
    }

    /// <summary>The memory is complete, or no guest will ever run on it: it is ordinary memory again.</summary>
    public void Release()
    {
        _faults?.Dispose();
        _faults = null;
        _live?.Release();
        _plain?.ClearMissing();
    }

    /// <summary>Ends everything. Missing pages of a guest that is ours become unreadable: it must never take them for zeros.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        var teardown = new Teardown();
        await teardown.RunAsync(_stop.CancelAsync).ConfigureAwait(false);
        teardown.Run(() => Break(new ChannelException(FailureReason.LocalFailure, "main", "closed by us")));
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
                _live?.Poison();
            }
            else
            {
                _live?.Release();
            }
        });
        teardown.ThrowIfFailed();
    }
}
