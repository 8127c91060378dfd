using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>
/// The postcopy part of a source's migration: its preempt channel, the memory that follows the guest, and what the return path brings.
/// </summary>
internal sealed class PostcopyHandover : IReturnPathEvents, IDisposable
{
    /// <summary>How many unsent bytes main may have in the kernel: an urgent page on main waits for no more than these.</summary>
    private const int MaxUnsentBytes = 128 * 1024;

    private readonly SourceCustody _custody;
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private readonly Action<uint> _onPong;
    private readonly Action _onVmStarted;
    private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile PostcopySource? _source;
    private PageRecordSender? _mainPages;
    private PageRecordSender? _preemptPages;
    private Task _everythingSent = Task.CompletedTask;
    private long _packageSentAt;
    private long _packageBytes;
    private long _loadedAt;
    private volatile RecoveryAnswers? _answers;
    private ReturnPathThread? _listening;
    private (long Normal, long Zero, long Requests, long Requested) _before;
    private bool _preemptIsOver;

    public PostcopyHandover(
        GuestMemory memory,
        SourceCustody custody,
        MigrationSourceOptions options,
        QemuCompatibility destination,
        BlockPool pool,
        TimeProvider time,
        Action<uint> onPong,
        Action onVmStarted)
    {
        _custody = custody;
        _onVmStarted = onVmStarted;
        _pool = pool;
        _time = time;
        _onPong = onPong;
        HostPages = new HostPages(memory, options.HostPageSizes);
        Timing = destination.TakesPreemptAtSwitch(options.MultifdChannels) ? PreemptTiming.AtSwitch : PreemptTiming.WithMain;
    }

    public HostPages HostPages { get; }

    public PreemptTiming Timing { get; }

    public Channel? Preempt { get; set; }

    /// <summary>Completes with the first PONG, normally PONG(1): the destination reads, and knows main for what it is.</summary>
    public Task Answered => _answered.Task;

    /// <summary>Completes with PONG(0x42): the destination has loaded the devices, and the guest starts there.</summary>
    public Task Loaded => _loaded.Task;

    /// <summary>The time at which PONG(0x42) came, as a timestamp of the clock; 0 until then.</summary>
    public long LoadedAt => Volatile.Read(ref _loadedAt);

    public long NormalPages => _before.Normal + (_mainPages?.NormalPages ?? 0) + (_preemptPages?.NormalPages ?? 0);

    public long ZeroPages => _before.Zero + (_mainPages?.ZeroPages ?? 0) + (_preemptPages?.ZeroPages ?? 0);

    /// <summary>The number of requests for pages so far, over all links.</summary>
    public long Requests => _before.Requests + (_source?.Requests ?? 0);

    /// <summary>The number of pages that the background has still to send; null before the switch and while there is no link.</summary>
    public long? PagesLeft => _source?.PagesLeft;

    /// <summary>Starts to read the destination's messages. The result is the value of its SHUT.</summary>
    /// <param name="main">The main channel of the present link.</param>
    /// <param name="memory">The memory whose pages the destination may ask for.</param>
    /// <param name="ifSilent">What the end of the channel before the first message may mean; null in a recovery.</param>
    public Task<uint> Listen(Channel main, GuestMemory memory, string? ifSilent = null)
    {
        _listening = new ReturnPathThread(main, memory, HostPages, this, ifSilent)
        {
            ReplacesLostLink = _listening is not null,
            BlockOfLostLink = _listening?.LastBlock,
        };
        return _listening.Start();
    }

    /// <summary>Prepares the answers to requests; to be called before the package leaves.</summary>
    public void Prepare(Channel main, GuestPageSet unsent, GuestPageSet? holdingData, SendLimit? limit)
    {
        SocketSetup.LimitUnsent(main.Handle, MaxUnsentBytes);
        _mainPages = PageRecordSender.OnMain(main, _pool, MainStreamWriter.RamSection, holdingData);
        if (Preempt is { } preempt)
        {
            preempt.SendsWith = main; // the thread that sends on preempt is the one that would notice the end of main
            _preemptPages = PageRecordSender.OnPreempt(preempt, _pool, holdingData);
        }

        var early = Preempt is not null && Timing == PreemptTiming.WithMain;
        var channels = new PostcopyChannels(_mainPages, _preemptPages)
        {
            EndsPreempt = early,
            MainUntilLoaded = early,
            PreemptIsOver = _preemptIsOver,
        };
        // A request for a zero page that was left out could cross with the end of the stream. Where a record ends the preempt channel, such
        // a request could not be answered any more, and a destination from 8.0 on waits for the answer: so no page is left out there.
        var pages = new UnsentPages(unsent, HostPages, early ? null : holdingData);
        var source = new PostcopySource(
            pages, channels, limit, _time, () => _custody.On(SourceEvent.EverythingSent));
        if (_answers is not null || Loaded.IsCompleted)
        {
            source.OnLoaded();
        }

        _source = source;
    }

    /// <summary>Expects the answers of a recovery from the destination from now on; to be called after a lost link.</summary>
    public RecoveryAnswers ExpectAnswers(GuestMemory memory)
    {
        var answers = new RecoveryAnswers(memory);
        _answers = answers;
        return answers;
    }

    /// <summary>Notes that the package of <paramref name="bytes"/> bytes has left.</summary>
    public void NotePackage(long bytes)
    {
        _packageBytes = bytes;
        Volatile.Write(ref _packageSentAt, _time.GetTimestamp());
    }

    /// <summary>Starts to send all of the memory. The task ends when the end of the stream has left.</summary>
    public Task Follow()
    {
        _everythingSent = _source!.Start();
        return _everythingSent;
    }

    public void OnPong(uint value)
    {
        if (value == PostcopyPackage.LoadedPing && _source is { } source && !_loaded.Task.IsCompleted)
        {
            Volatile.Write(ref _loadedAt, _time.GetTimestamp());
            _custody.On(SourceEvent.DevicesLoaded);
            source.OnLoaded();
            _loaded.TrySetResult();
        }

        _answered.TrySetResult();
        _onPong(value);
    }

    public void OnVmStarted() => _onVmStarted();

    public void OnRequest(RamBlock block, long firstPage, long pages)
    {
        if (_source is { } source)
        {
            source.OnRequest(block, firstPage, pages);
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

        _custody.On(SourceEvent.BitmapReceived);
        return true;
    }

    public bool OnResumeAck(uint value) => _answers is { } answers && answers.TryTakeAck(value);

    public PostcopyReport? Report(int recoveries)
    {
        if (_source is not { } source)
        {
            return null;
        }

        var sent = Volatile.Read(ref _packageSentAt);
        return new PostcopyReport
        {
            // PONG(0x42) may overtake the note that the package has left.
            StartDelay = LoadedAt == 0 ? null : TimeSpan.FromTicks(Math.Max(0, _time.GetElapsedTime(sent, LoadedAt).Ticks)),
            PackageBytes = _packageBytes,
            Requests = _before.Requests + source.Requests,
            RequestedPages = _before.Requested + source.RequestedPages,
            Recoveries = recoveries,
        };
    }

    /// <summary>Ends the threads of a lost link and remembers what they have done. The channels must have been aborted before.</summary>
    public async Task EndLinkAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _before = (NormalPages, ZeroPages, _before.Requests + (_source?.Requests ?? 0), _before.Requested + (_source?.RequestedPages ?? 0));
        _preemptIsOver |= _source?.HasEndedPreempt ?? false;
        Dispose();
        (_mainPages, _preemptPages, _source, _everythingSent) = (null, null, null, Task.CompletedTask);
    }

    /// <summary>Stops sending and waits for the end of it. The channels must have been aborted before.</summary>
    public async Task StopAsync()
    {
        _source?.Stop();
        await _everythingSent.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose()
    {
        _mainPages?.Dispose();
        _preemptPages?.Dispose();
    }
}
