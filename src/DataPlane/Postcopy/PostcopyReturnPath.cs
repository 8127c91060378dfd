using DataPlane.MainStream;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Sends the destination's messages to the source from the switch on, over one link after the other. Messages are sent one at a time.
/// Thread-safe.
/// </summary>
/// <remarks>
/// <para>Requests may be made at any time: without a link, or before the source is ready for them, they are left to the next
/// <see cref="AllowRequests"/>. They never wait: a message that is added while another thread sends leaves with that thread's next call
/// (<see cref="MessageOutbox"/>).</para>
/// <para>A source that stops reading blocks only those callers that must know that their message was sent, until their link is
/// aborted.</para>
/// </remarks>
internal sealed class PostcopyReturnPath
{
    private readonly Lock _gate = new();
    private ReturnPathSender? _sender;
    private bool _requestsAllowed;
    private RamBlock? _lastBlock;
    private long _requests;

    /// <summary>The number of requests that have been sent, including repeated ones. Any thread may read it.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Makes <paramref name="main"/> the channel for all further messages; null if there is none. Returns at once.</summary>
    public void Use(Channel? main)
    {
        lock (_gate)
        {
            _sender = main is null ? null : new ReturnPathSender(main);
            _requestsAllowed = false;
            _lastBlock = null;
        }
    }

    /// <summary>To be called when the source takes requests. Sends each open request once, and from now on every new one.</summary>
    public void AllowRequests(PageLedger ledger)
    {
        ReturnPathSender? sender;
        lock (_gate)
        {
            // Requests are allowed first: one that is opened now is in the list, or is sent by the thread that opened it, or both, which
            // does no harm.
            sender = _sender;
            _requestsAllowed = sender is not null;
        }

        if (sender is null)
        {
            return;
        }

        foreach (var (block, page) in ledger.Open())
        {
            AddRequest(block, page, ledger.HostPageSize(block));
        }

        sender.TrySendAll();
    }

    /// <summary>
    /// Requests a host page. If the link does not take the request, the readers are about to find that it is broken, and the request stays
    /// open.
    /// </summary>
    public void Request(RamBlock block, long firstPage, long hostPageSize) => AddRequest(block, firstPage, hostPageSize)?.TrySendAll();

    /// <summary>Answers PING <paramref name="value"/>.</summary>
    /// <exception cref="ChannelException">The link is lost, or there is none.</exception>
    public void SendPong(uint value) => Send("answering a PING", (sender, doing) => sender.SendPong(value, doing));

    /// <summary>Sends SHUT: 0 for success, else 1.</summary>
    /// <exception cref="ChannelException">The link is lost, or there is none.</exception>
    public void SendShut(bool success) => Send("sending SHUT", (sender, doing) => sender.SendShut(success, doing));

    /// <summary>Sends RESUME_ACK, after which the source goes on.</summary>
    /// <exception cref="ChannelException">The link is lost, or there is none.</exception>
    public void SendResumeAck() => Send("acknowledging the recovery", static (sender, doing) => sender.SendResumeAck(doing));

    /// <summary>Adds a request to the present link and returns its sender, or null if no request may be made now.</summary>
    private ReturnPathSender? AddRequest(RamBlock block, long firstPage, long hostPageSize)
    {
        lock (_gate)
        {
            if (!_requestsAllowed || _sender is not { } sender)
            {
                return null;
            }

            // Added under the lock, because a message without a name means the block of the message before it.
            var name = block == _lastBlock ? default : block.Utf8Name;
            if (!sender.TryAddRequest(name, firstPage << TargetPage.Shift, (uint)hostPageSize))
            {
                _requestsAllowed = false;
                return null;
            }

            _lastBlock = block;
            _requests++;
            return sender;
        }
    }

    private void Send(string doing, Action<ReturnPathSender, string> send)
    {
        ReturnPathSender? sender;
        lock (_gate)
        {
            sender = _sender;
        }

        if (sender is null)
        {
            throw new ChannelException(FailureReason.PeerClosed, ChannelId.Main, $"there is no link to the source while {doing}");
        }

        send(sender, doing);
    }
}
