using DataPlane.Memory;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>The channels on which a <see cref="PostcopySource"/> sends.</summary>
internal sealed record PostcopyChannels(PageRecordSender Main, PageRecordSender? Preempt)
{
    /// <summary>
    /// Whether the destination may wait for the record that ends the preempt channel, because that channel was opened together with main.
    /// </summary>
    public bool EndsPreempt { get; init; }

    /// <summary>
    /// Whether all pages go on main until the devices are loaded. The destination may not have taken the preempt channel before, and needs
    /// pages to load the devices (QEMU 8.0 to 8.2).
    /// </summary>
    public bool MainUntilLoaded { get; init; }

    /// <summary>
    /// Whether the record that ends the preempt channel was sent on a link that was lost, so that all pages go on main. A QEMU 7.2 ends its
    /// thread for the preempt channel at that record and starts no other in a recovery: pages on the new preempt channel stay unread, and
    /// the guest finds zeros in their place (specification, 4-postcopy section 4.6.3).
    /// </summary>
    public bool PreemptIsOver { get; init; }
}

/// <summary>
/// Sends the memory of a guest that runs at its destination already: requested pages at once, on the preempt channel if there is one, and
/// all others in the background on main (specification, 4-postcopy section 4.2).
/// </summary>
/// <remarks>
/// Two threads send. The thread that reads the return path answers requests on the preempt channel itself, while a huge page may be on its
/// way on main. A thread of this class sends the background, and also the requested pages that go on main. Both claim every host page
/// before they send it.
/// </remarks>
/// <param name="pages">The pages that the destination does not have yet.</param>
/// <param name="channels">The channels to send on.</param>
/// <param name="limit">The rate limit of the background; null for none.</param>
/// <param name="time">The clock for the rate and for waits.</param>
/// <param name="onEnd">
/// Called when every page has been sent, and before the end of the stream is sent: SHUT may come right after that.
/// </param>
internal sealed class PostcopySource(
    UnsentPages pages, PostcopyChannels channels, SendLimit? limit, TimeProvider time, Action onEnd)
{
    /// <summary>
    /// The longest time for which the background waits for the start of the guest. Until then it would only delay the few pages that
    /// loading the devices needs.
    /// </summary>
    private static readonly TimeSpan s_headStart = TimeSpan.FromMilliseconds(100);

    /// <summary>Guards the claims, and which thread sends on the preempt channel. It is not held while sending.</summary>
    private readonly object _gate = new();
    private readonly RequestQueue _queue = new();
    private readonly TaskCompletionSource _everythingSent = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _loaded;
    private volatile bool _stopped;
    private bool _answering;
    private bool _preemptEnded;
    private long _requests;
    private long _requestedPages;

    /// <summary>The number of requests so far, including repeated ones. Any thread may read it.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>The number of target pages that were claimed because they were requested. Any thread may read it.</summary>
    public long RequestedPages => Volatile.Read(ref _requestedPages);

    /// <summary>Whether the record that ends the preempt channel has been sent, or is about to be. Thread-safe.</summary>
    public bool HasEndedPreempt
    {
        get
        {
            lock (_gate)
            {
                return _preemptEnded;
            }
        }
    }

    /// <summary>The number of target pages that the background still has to send. Any thread may read it.</summary>
    public long PagesLeft => pages.BackgroundLeft;

    /// <summary>
    /// Starts the background. The task completes when the end of the stream has been sent; requests are answered for as long as they come.
    /// </summary>
    public Task Start()
    {
        var thread = new Thread(Run) { Name = "dp-postcopy", IsBackground = true };
        thread.Start();
        return _everythingSent.Task;
    }

    /// <summary>To be called when the destination has loaded its devices. Thread-safe.</summary>
    public void OnLoaded()
    {
        _loaded = true;
        _queue.Wake();
    }

    /// <summary>Lets the background thread end. Channels in which it may be blocked must be aborted first. Thread-safe.</summary>
    public void Stop()
    {
        _stopped = true;
        _queue.Wake();
        lock (_gate)
        {
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>
    /// Answers a request, on the preempt channel at once or next on main. Pages that have been sent already are skipped. To be called by
    /// the thread that reads the return path.
    /// </summary>
    /// <exception cref="ChannelException">The preempt channel is lost.</exception>
    public void OnRequest(RamBlock block, long firstPage, long count)
    {
        Volatile.Write(ref _requests, _requests + 1);
        for (var page = firstPage; page < firstPage + count;)
        {
            var sendsIt = TryClaim(block, page, out var claimed);
            page = claimed.FirstPage + claimed.PageCount;
            if (sendsIt)
            {
                Answer(claimed);
            }
        }
    }

    /// <summary>
    /// Claims the host page of a requested page. Returns true if the caller must send it on the preempt channel; from the same moment on
    /// the end of the stream waits for it. Any other claimed page is queued for main.
    /// </summary>
    private bool TryClaim(RamBlock block, long page, out PageRun claimed)
    {
        lock (_gate)
        {
            if (!pages.TryClaim(block, page, out claimed))
            {
                return false;
            }

            Volatile.Write(ref _requestedPages, _requestedPages + claimed.PageCount);
            if (channels.Preempt is null || channels.PreemptIsOver || (channels.MainUntilLoaded && !_loaded))
            {
                _queue.TryAdd(claimed);
                return false;
            }

            _answering = !_preemptEnded;
            return _answering;
        }
    }

    private void Answer(PageRun claimed)
    {
        try
        {
            channels.Preempt!.Send([claimed]);
        }
        finally
        {
            lock (_gate)
            {
                _answering = false;
                Monitor.PulseAll(_gate);
            }
        }
    }

    private void Run()
    {
        try
        {
            var started = time.GetTimestamp();
            while (!_loaded && !_stopped && s_headStart - time.GetElapsedTime(started) is var wait && wait > TimeSpan.Zero)
            {
                SendRequests();
                _queue.Wait(wait);
            }

            SendBackground();
            if (_stopped)
            {
                throw new OperationCanceledException("postcopy was stopped");
            }

            SendEnd();
            _everythingSent.SetResult();
        }
        catch (Exception failure)
        {
            _everythingSent.SetException(failure);
        }
    }

    private void SendBackground()
    {
        var claim = new PageClaim();
        while (!_stopped)
        {
            SendRequests();
            if (pages.TryClaimNext(claim))
            {
                channels.Main.Send(claim.Runs);
                WaitForLimit(claim.PageCount);
            }
            else if (TryCloseQueue())
            {
                return;
            }
        }
    }

    /// <summary>Closes the queue under the lock, so that a page that has been claimed for the queue is in it.</summary>
    private bool TryCloseQueue()
    {
        lock (_gate)
        {
            return _queue.TryClose();
        }
    }

    private void SendRequests()
    {
        while (_queue.TryTake(out var page))
        {
            channels.Main.Send([page]);
        }
    }

    /// <summary>Waits until the rate limit of the background permits more. Requests are answered meanwhile, and do not count.</summary>
    private void WaitForLimit(long sentPages)
    {
        if (limit is null)
        {
            return;
        }

        var started = time.GetTimestamp();
        var pause = limit.Reserve(sentPages << TargetPage.Shift);
        while (!_stopped && pause - time.GetElapsedTime(started) is var left && left > TimeSpan.Zero)
        {
            _queue.Wait(left);
            SendRequests();
        }
    }

    /// <summary>Sends the end of the stream, which means that every page has been sent. Urgent pages must have been sent before.</summary>
    private void SendEnd()
    {
        lock (_gate)
        {
            while (_answering && !_stopped)
            {
                Monitor.Wait(_gate);
            }

            if (_stopped)
            {
                throw new OperationCanceledException("postcopy was stopped");
            }
            // From now on only this thread sends on the preempt channel: a later request can only be for a zero page that was left out.
            _preemptEnded = channels is { EndsPreempt: true, Preempt: not null };
        }

        onEnd();
        channels.Main.SendEnd();
        if (_preemptEnded)
        {
            channels.Preempt!.SendEndOfChannel();
        }
    }
}
