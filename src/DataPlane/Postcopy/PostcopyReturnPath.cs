using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// The destination's messages to the source from the switch on, over one link after the other. One message at a time, from any thread.
/// </summary>
/// <remarks>
/// <para>Requests may be made at any time: without a link, or before the source is ready for them, they are left to the next <see
/// cref="AllowRequests"/>. They wait for nobody: a message that comes while another thread sends leaves with that thread's next call
/// (<see cref="MessageOutbox"/>).</para>
/// <para>A source that reads no more holds up those who must know that their message has left, until their link is aborted; nothing
/// else.</para>
/// </remarks>
internal sealed class PostcopyReturnPath
{
    private readonly Lock _gate = new();
    private MessageOutbox? _outbox;
    private bool _requestsAllowed;
    private RamBlock? _lastBlock;
    private long _requests;

    /// <summary>Requests that have been sent, repeated ones included.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Sends on <paramref name="main"/> from now on, null for none. Returns at once.</summary>
    public void Use(Channel? main)
    {
        lock (_gate)
        {
            _outbox = main is null ? null : new MessageOutbox(main);
            _requestsAllowed = false;
            _lastBlock = null;
        }
    }

    /// <summary>The source takes requests: sends those that are open, each once, and from now on every other.</summary>
    public void AllowRequests(PageLedger ledger)
    {
        MessageOutbox? outbox;
        lock (_gate)
        {
            // Allowed first: a request that is opened now is in the list or sent by its opener, or both, which does no harm.
            outbox = _outbox;
            _requestsAllowed = outbox is not null;
        }

        if (outbox is null)
        {
            return;
        }

        foreach (var (block, page) in ledger.Open())
        {
            AddRequest(block, page, ledger.HostPageSize(block));
        }

        outbox.TrySendAll();
    }

    /// <summary>
    /// Asks for a host page. A link that does not take it is about to be found broken by its readers, and the request stays open.
    /// </summary>
    public void Request(RamBlock block, long firstPage, long hostPageSize) => AddRequest(block, firstPage, hostPageSize)?.TrySendAll();

    /// <summary>Answers PING <paramref name="value"/>.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendPong(uint value) => Send(span => ReturnPathWriter.WritePong(span, value), "answering a PING");

    /// <summary>The destination's last word.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendShut(bool success) =>
        Send(span => ReturnPathWriter.WriteShut(span, success ? 0u : 1u), "saying the last word");

    /// <summary>The source may go on.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendResumeAck() => Send(ReturnPathWriter.WriteResumeAck, "acknowledging the recovery");

    /// <summary>Null where no request may be made now.</summary>
    private MessageOutbox? AddRequest(RamBlock block, long firstPage, long hostPageSize)
    {
        var start = firstPage << TargetPage.Shift;
        Span<byte> message = stackalloc byte[ReturnPathWriter.MaxSize];
        lock (_gate)
        {
            if (!_requestsAllowed || _outbox is not { } outbox)
            {
                return null;
            }

            // Added under the lock: a message without a name is about the block of the one before it.
            var size = block == _lastBlock
                ? ReturnPathWriter.WriteRequestPages(message, start, (uint)hostPageSize)
                : ReturnPathWriter.WriteRequestPages(message, block.Utf8Name, start, (uint)hostPageSize);
            if (!outbox.TryAdd(message[..size], out _))
            {
                _requestsAllowed = false;
                return null;
            }

            _lastBlock = block;
            _requests++;
            return outbox;
        }
    }

    private void Send(MessageWriter write, string doing)
    {
        Span<byte> message = stackalloc byte[ReturnPathWriter.MaxSize];
        var size = write(message);
        MessageOutbox? outbox;
        lock (_gate)
        {
            outbox = _outbox;
        }

        if (outbox is null)
        {
            throw new ChannelException(FailureReason.PeerClosed, "main", $"there is no link to the source while {doing}");
        }

        outbox.TryAdd(message[..size], out var end);
        outbox.SendUpTo(end, doing);
    }

    private delegate int MessageWriter(Span<byte> destination);
}
