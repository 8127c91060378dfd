using DataPlane.MainStream;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// One set of connections to the source after the switch. One thread reads main, and another the preempt channel once there is one. If
/// either channel breaks, both are ended.
/// </summary>
internal sealed class PostcopyLink : IAsyncDisposable
{
    private readonly Channel _main;
    private readonly PostcopyMainReader _mainReader;
    private readonly StreamCursor _mainStream;
    private readonly PageRecordReader _mainRecords;
    private readonly GuestMemory _memory;
    private readonly PageArrivals _arrivals;
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _preemptEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _mainThread;
    private Thread? _preemptThread;
    private Channel? _preempt;
    private Exception? _cause;
    private bool _sourceHasEnded;

    /// <param name="main">The main channel, which nobody else reads any more.</param>
    /// <param name="pages">The record of the pages that have arrived, and the memory.</param>
    /// <param name="arrivals">Takes the pages.</param>
    /// <param name="returnPath">Sends the answers to PINGs; it uses <paramref name="main"/> already.</param>
    /// <param name="ramSection">The id of the ram section.</param>
    public PostcopyLink(
        Channel main,
        ReceivedPages pages,
        PageArrivals arrivals,
        PostcopyReturnPath returnPath,
        uint ramSection)
    {
        _main = main;
        _memory = pages.Memory;
        _arrivals = arrivals;
        _mainStream = OpenStream(main);
        _mainRecords = new PageRecordReader(_mainStream, _memory, arrivals);
        _mainReader = new PostcopyMainReader(_mainStream, _mainRecords, returnPath, ramSection);
        _mainThread = new Thread(ReadMain) { Name = "dp-postcopy-main", IsBackground = true };
        _mainThread.Start();
    }

    /// <summary>The main channel.</summary>
    public Channel Main => _main;

    /// <summary>Completes with null when the source has sent its last byte on main, or with the cause when the link is lost.</summary>
    public Task<Exception?> Ended => _ended.Task;

    /// <summary>Completes when the preempt channel has ended in any way. Never completes if there is none.</summary>
    public Task PreemptEnded => _preemptEnded.Task;

    /// <summary>Completes at the first call of <see cref="Break"/>, also after the source has sent its last byte on main.</summary>
    public Task Broken => _broken.Task;

    /// <summary>Whether the link has a preempt channel. Thread-safe.</summary>
    public bool HasPreempt
    {
        get
        {
            lock (_gate)
            {
                return _preempt is not null;
            }
        }
    }

    /// <summary>
    /// What <paramref name="channel"/> brings from now on, for one thread. It begins with what an earlier reader of the channel has left.
    /// </summary>
    public static StreamCursor OpenStream(Channel channel) =>
        new(channel.OpenReader(doing: "reading pages"), channel.Id, StreamPlace.AfterSwitch);

    /// <summary>
    /// Reads pages from the preempt channel, too. If the link is broken or has a preempt channel already, <paramref name="preempt"/> is
    /// aborted. Thread-safe.
    /// </summary>
    public void AttachPreempt(Channel preempt)
    {
        lock (_gate)
        {
            if (_cause is not null || _preempt is not null)
            {
                preempt.Abort();
                return;
            }

            _preempt = preempt;
            _preemptThread = new Thread(ReadPreempt) { Name = "dp-preempt", IsBackground = true };
            _preemptThread.Start();
        }
    }

    /// <summary>
    /// Ends the link with <paramref name="cause"/>, unless it has ended with another cause before. Returns at once. Thread-safe.
    /// </summary>
    public void Break(Exception cause)
    {
        lock (_gate)
        {
            _cause ??= cause;
            _preempt?.Abort();
        }

        _broken.TrySetResult();
        _main.Abort();
    }

    /// <summary>
    /// Ends the link with <paramref name="cause"/>, unless the source has sent its last byte on main, or the link has ended with another
    /// cause before. Returns at once. Thread-safe.
    /// </summary>
    public void BreakBeforeEnd(Exception cause)
    {
        lock (_gate)
        {
            if (_sourceHasEnded)
            {
                return;
            }

            _cause ??= cause;
        }

        Break(cause);
    }

    /// <summary>
    /// Completes when no thread reads any more: from then on this link places no page. To be called after the source has ended the link, or
    /// after <see cref="Break"/>.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        _ = await _ended.Task.ConfigureAwait(false);
        Thread? preempt;
        lock (_gate)
        {
            _cause ??= new ChannelException(FailureReason.LocalFailure, ChannelId.Preempt, "closed by us");
            _preempt?.Abort();
            preempt = _preemptThread;
        }

        _mainThread.Join();
        preempt?.Join();
    }

    private void ReadMain()
    {
        try
        {
            _mainReader.Run();
            lock (_gate)
            {
                _sourceHasEnded = true;
            }
        }
        catch (Exception failure)
        {
            Break(failure);
        }
        finally
        {
            _mainRecords.Dispose();
            _mainStream.Complete(); // a lost link's channel is kept to the end of the migration, but not its blocks
        }

        lock (_gate)
        {
            _ended.SetResult(_cause);
        }
    }

    private void ReadPreempt()
    {
        var stream = OpenStream(_preempt!);
        try
        {
            using var records = new PageRecordReader(stream, _memory, _arrivals);
            if (!records.ReadToEnd())
            {
                EndPreempt(new ChannelException(
                    FailureReason.PeerClosed, stream.Channel, "the source closed the preempt channel while pages are missing"));
            }
        }
        catch (Exception failure)
        {
            EndPreempt(failure);
        }
        finally
        {
            stream.Complete();
        }

        _preemptEnded.SetResult();
    }

    /// <summary>
    /// Handles the end of the preempt channel. After the end of main it may close at any time; before, pages are lost with it.
    /// </summary>
    private void EndPreempt(Exception failure)
    {
        lock (_gate)
        {
            if (_sourceHasEnded)
            {
                return;
            }
        }

        Break(failure);
    }
}
