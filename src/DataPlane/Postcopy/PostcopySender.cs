using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Lets the memory of a guest follow it: sends everything over one link after the other, until the destination has all of it, and hears
/// what the destination says meanwhile.
/// </summary>
/// <remarks>
/// A link lasts from <see cref="Prepare"/> to <see cref="EndLinkAsync"/>. In a recovery (<see cref="RecoverAsync"/>) the destination tells
/// what it holds, and everything else counts as unsent. The methods are for the migration's own flow, one at a time; the figures may be
/// read by any thread.
/// </remarks>
internal sealed class PostcopySender : IReturnPathEvents, IAsyncDisposable
{
    /// <summary>How many unsent bytes main may have in the kernel: an urgent page on main waits for no more than these.</summary>
    private const int MaxUnsentBytes = 128 * 1024;

    private readonly GuestMemory _memory;
    private readonly PostcopySenderOptions _options;
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private readonly IPostcopySenderEvents _events;
    private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // The migration's own flow writes these; the thread of the return path and timers read them.
    private volatile SenderLink? _link;
    private volatile RecoveryAnswers? _answers;
    private volatile SenderTotals _lostLinks = SenderTotals.None;
    private long _packageSentAt;
    private long _packageBytes;

    private long _loadedAt; // written by the thread of the return path

    // Only the migration's own flow uses these.
    private ReturnPathThread? _listening;
    private Task<uint>? _shut;
    private bool _preemptIsOver;

    /// <param name="memory">The guest's memory.</param>
    /// <param name="options">How it is sent.</param>
    /// <param name="pool">Gives the blocks for headers and messages.</param>
    /// <param name="time">The clock.</param>
    /// <param name="events">Is told what the migration must know.</param>
    public PostcopySender(
        GuestMemory memory, PostcopySenderOptions options, BlockPool pool, TimeProvider time, IPostcopySenderEvents events)
    {
        _memory = memory;
        _options = options;
        _pool = pool;
        _time = time;
        _events = events;
    }

    public HostPages HostPages => _options.HostPages;

    /// <summary>Completes with the first PONG, normally PONG(1): the destination reads, and knows main for what it is.</summary>
    public Task Answered => _answered.Task;

    /// <summary>Completes with PONG(0x42): the destination has loaded the devices, and the guest starts there.</summary>
    public Task Loaded => _loaded.Task;

    /// <summary>The time at which PONG(0x42) came, as a timestamp of the clock; 0 until then.</summary>
    public long LoadedAt => Volatile.Read(ref _loadedAt);

    /// <summary>The time from the last byte of the package to PONG(0x42); null if that has not come.</summary>
    public TimeSpan? StartDelay
    {
        get
        {
            var sent = Volatile.Read(ref _packageSentAt);
            // PONG(0x42) may overtake the note that the package has left.
            return LoadedAt == 0 ? null : TimeSpan.FromTicks(Math.Max(0, _time.GetElapsedTime(sent, LoadedAt).Ticks));
        }
    }

    /// <summary>The bytes of the package; 0 until it has left.</summary>
    public long PackageBytes => Volatile.Read(ref _packageBytes);

    /// <summary>What has been sent so far, over all links.</summary>
    public SenderTotals Totals => _link is { } link ? _lostLinks + link.Totals : _lostLinks;

    /// <summary>The number of pages that the background has still to send; null before the switch and while there is no link.</summary>
    public long? PagesLeft => _link?.Source.PagesLeft;

    /// <summary>Whether the end of the stream has left on the present link.</summary>
    public bool HasSentEverything => _link is { HasSentEverything: true };

    /// <summary>Whether the preempt channel is to be opened at this moment.</summary>
    public bool OpensPreempt(PreemptTiming now) => _options.Preempt == now;

    /// <summary>Starts to read the destination's messages. The result is the value of its SHUT.</summary>
    /// <param name="main">The main channel of the present link.</param>
    /// <param name="ifSilent">What the end of the channel before the first message may mean; null in a recovery.</param>
    public Task<uint> Listen(Channel main, string? ifSilent = null)
    {
        _listening = new ReturnPathThread(main, _memory, HostPages, this, ifSilent)
        {
            ReplacesLostLink = _listening is not null,
            BlockOfLostLink = _listening?.LastBlock,
        };
        _shut = _listening.Start();
        return _shut;
    }

    /// <summary>Prepares the answers to requests; to be called before the package leaves.</summary>
    /// <param name="main">The main channel, on which nothing but the package is sent from now on.</param>
    /// <param name="preempt">The preempt channel; null if there is none.</param>
    /// <param name="unsent">The pages that the destination does not have.</param>
    /// <param name="holdingData">The pages that are not zero, if the host knows them.</param>
    public void Prepare(Channel main, Channel? preempt, GuestPageSet unsent, GuestPageSet? holdingData)
    {
        SocketSetup.LimitUnsent(main.Handle, MaxUnsentBytes);
        var mainPages = PageRecordSender.OnMain(main, _pool, MainStreamWriter.RamSection, holdingData);
        PageRecordSender? preemptPages = null;
        if (preempt is not null)
        {
            preempt.SendsWith = main; // the thread that sends on preempt is the one that would notice the end of main
            try
            {
                preemptPages = PageRecordSender.OnPreempt(preempt, _pool, holdingData);
            }
            catch
            {
                mainPages.Dispose();
                throw;
            }
        }

        var early = preempt is not null && _options.Preempt == PreemptTiming.WithMain;
        var channels = new PostcopyChannels(mainPages, preemptPages)
        {
            EndsPreempt = early,
            MainUntilLoaded = early,
            PreemptIsOver = _preemptIsOver,
        };
        // A request for a zero page that was left out could cross with the end of the stream. Where a record ends the preempt channel, such
        // a request could not be answered any more, and a destination from 8.0 on waits for the answer: so no page is left out there.
        var pages = new UnsentPages(unsent, HostPages, early ? null : holdingData);
        var source = new PostcopySource(pages, channels, _options.Limit, _time, _events.OnEverythingSent);
        if (_answers is not null || Loaded.IsCompleted)
        {
            source.OnLoaded();
        }

        _link = new SenderLink(source, channels);
    }

    /// <summary>Notes that the package of <paramref name="bytes"/> bytes has left.</summary>
    public void NotePackage(long bytes)
    {
        Volatile.Write(ref _packageBytes, bytes);
        Volatile.Write(ref _packageSentAt, _time.GetTimestamp());
    }

    /// <summary>Starts to send all of the memory over the present link. The task ends when the end of the stream has left.</summary>
    public Task Follow() => (_link ?? throw new InvalidOperationException("no link is prepared")).Follow();

    /// <summary>
    /// Makes one attempt at a new link. When the task completes, the destination goes on, and <see cref="Follow"/> may begin. After a
    /// failure <see cref="EndLinkAsync"/> clears what is left of the attempt.
    /// </summary>
    /// <param name="dialAsync">Connects main or preempt of the new link.</param>
    /// <param name="holdingData">The pages that are not zero, if the host knows them.</param>
    /// <param name="cancellationToken">Ends the attempt, together with the abort of its channels.</param>
    /// <returns>The new main channel, and the task that reads its return path up to SHUT.</returns>
    public async Task<(Channel Main, Task<uint> Shut)> RecoverAsync(
        Func<ChannelId, CancellationToken, Task<Channel>> dialAsync, GuestPageSet? holdingData, CancellationToken cancellationToken)
    {
        Channel? preempt = null;
        var main = await dialAsync(ChannelId.Main, cancellationToken).ConfigureAwait(false);
        if (OpensPreempt(PreemptTiming.WithMain))
        {
            preempt = await dialAsync(ChannelId.Preempt, cancellationToken).ConfigureAwait(false);
        }

        var answers = new RecoveryAnswers(_memory);
        _answers = answers;
        var shut = Listen(main);
        var limit = _options.RepeatsRecovery ? RecoveryDialogue.AnswerLimit : Timeout.InfiniteTimeSpan;
        var dialogue = new RecoveryDialogue(main, answers, shut, limit, _time);
        var missing = await dialogue.AskWhatIsMissingAsync(_memory, cancellationToken).ConfigureAwait(false);
        if (OpensPreempt(PreemptTiming.AtSwitch))
        {
            preempt = await dialAsync(ChannelId.Preempt, cancellationToken).ConfigureAwait(false);
        }

        Prepare(main, preempt, missing, holdingData);
        await dialogue.AskToResumeAsync(cancellationToken).ConfigureAwait(false);
        return (main, shut);
    }

    /// <summary>
    /// Ends the threads of a link, also of one that was not completed, and remembers what they have done. The channels must have been
    /// aborted before.
    /// </summary>
    public async Task EndLinkAsync()
    {
        if (_shut is not null)
        {
            // This comes first, because this thread answers requests itself, with what is disposed of below.
            await ((Task)_shut).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (_link is { } link)
        {
            await link.StopAsync().ConfigureAwait(false);
            _link = null;
            _lostLinks += link.Totals;
            _preemptIsOver |= link.Source.HasEndedPreempt;
            link.Dispose();
        }
    }

    /// <summary>Ends the last link. Its channels must have been aborted before.</summary>
    public async ValueTask DisposeAsync() => await EndLinkAsync().ConfigureAwait(false);

    public void OnPong(uint value)
    {
        if (value == PostcopyPackage.LoadedPing && _link is { } link && !_loaded.Task.IsCompleted)
        {
            Volatile.Write(ref _loadedAt, _time.GetTimestamp());
            _events.OnDevicesLoaded();
            link.Source.OnLoaded();
            _loaded.TrySetResult();
        }

        _answered.TrySetResult();
        _events.OnPong(value);
    }

    public void OnVmStarted() => _events.OnVmStarted();

    public void OnRequest(RamBlock block, long firstPage, long pages)
    {
        if (_link is { } link)
        {
            link.Source.OnRequest(block, firstPage, pages);
        }
        else if (_answers is null)
        {
            throw ChannelException.Violation(ChannelId.Main, $"a request for pages of {block.Name} before the guest was handed over");
        }
        // Otherwise the request is left over from the lost link: the destination asks again after RESUME.
    }

    public bool OnReceivedBitmap(RamBlock block, PageBitmap received)
    {
        if (_answers is not { } answers || !answers.TryTake(block, received))
        {
            return false;
        }

        _events.OnBitmapReceived();
        return true;
    }

    public bool OnResumeAck(uint value) => _answers is { } answers && answers.TryTakeAck(value);
}
