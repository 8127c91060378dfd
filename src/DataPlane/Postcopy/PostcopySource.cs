using DataPlane.Memory;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>What a <see cref="PostcopySource"/> sends with.</summary>
internal sealed record PostcopyChannels(PageRecordSender Main, PageRecordSender? Preempt)
{
    /// <summary>The preempt channel was opened with main: its destination may wait for the record that ends it.</summary>
    public bool EndsPreempt { get; init; }

    /// <summary>
    /// The destination may not have taken the preempt channel before its devices are loaded, and needs pages to load them (QEMU 8.0 to
    /// 8.2): until then all
    /// pages go on main.
    /// </summary>
    public bool MainUntilLoaded { get; init; }

    /// <summary>
    /// The record that ends the preempt channel has left on a link that was lost, so all pages go on main. A QEMU 7.2 ends its thread for
    /// the preempt channel at that record and starts no other in a recovery: pages on the new preempt channel stay unread, and the guest
    /// finds zeros in their place (specification, 4-postcopy section 4.6.3).
    /// </summary>
    public bool PreemptIsOver { get; init; }
}

/// <summary>
/// Sends the memory of a guest that runs at its destination already: what it asks for at once, on the preempt channel where there is one;
/// all the rest in the
/// background on main (specification, 4-postcopy section 4.2).
/// </summary>
/// <remarks>
/// Two threads: the one that reads the return path answers requests on the preempt channel itself, in parallel with a huge page on its way
/// on main; a thread of
/// this class sends the background, and the requests too where there is no preempt channel. Both claim every host page before they send it.
/// </remarks>
/// <param name="pages">What there is to send.</param>
/// <param name="channels">What it is sent on.</param>
/// <param name="limit">The background's rate, null for none.</param>
/// <param name="time">The clock.</param>
/// <param name="onEnd">Called when every page has left, before the end of the stream does: the destination's word may come at once.</param>
internal sealed class PostcopySource(
    UnsentPages pages, PostcopyChannels channels, SendLimit? limit, TimeProvider time, Action onEnd)
{
    /// <summary>
    /// The background waits for the start of the guest, but not for long: until then it would only stand in the way of the few pages that
    /// loading the devices
    /// takes.
    /// </summary>
    private static readonly TimeSpan s_headStart = TimeSpan.FromMilliseconds(100);

    /// <summary>Guards claims and who sends on the preempt channel; nobody sends while holding it.</summary>
    private readonly object _gate = new();
    private readonly RequestQueue _queue = new();
    private readonly TaskCompletionSource _everythingSent = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _loaded;
    private volatile bool _stopped;
    private bool _answering;
    private bool _preemptEnded;
    private long _requests;
    private long _requestedPages;

    /// <summary>Requests so far, repetitions included.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Target pages that went because they were asked for.</summary>
    public long RequestedPages => Volatile.Read(ref _requestedPages);

    /// <summary>The record that ends the preempt channel has left, or is about to.</summary>
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

    /// <summary>Pages that the background has still to send.</summary>
    public long PagesLeft => pages.BackgroundLeft;

    /// <summary>
    /// Starts the background. The task ends when the end of the stream has been sent; requests are answered for as long as they come.
    /// </summary>
    public Task Start()
    {
        var thread = new Thread(Run) { Name = "dp-postcopy", IsBackground = true };
        thread.Start();
        return _everythingSent.Task;
    }

    /// <summary>The destination has loaded its devices.</summary>
    public void OnLoaded()
    {
        _loaded = true;
        _queue.Wake();
    }

    /// <summary>Lets the background thread end. Abort the channels first where it may be blocked in one.</summary>
    public void Stop()
    {
        _stopped = true;
        _queue.Wake();
        lock (_gate)
        {
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Answers a request, at once or as the next thing on main; pages that have been sent already are nothing to do.</summary>
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
    /// Whether the page is the caller's to send on the preempt channel: one that is claimed so is known as being answered from the same
    /// moment on, and the end of the stream waits for it. Other claims are queued for main.
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

    /// <summary>Under the lock: a page that has been claimed for the queue stands in it.</summary>
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

    /// <summary>The background's rate; requests are answered meanwhile and do not count.</summary>
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

    /// <summary>Everything urgent has left before the end of the stream says that everything has.</summary>
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
            // From here on the preempt channel is this thread's: a request that comes now can only be for a page that was left out.
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
