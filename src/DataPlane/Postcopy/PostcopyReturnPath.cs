using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// The destination's messages to the source from the switch on, over one link after the other. Blocking calls, one message at a time, from
/// any thread.
/// </summary>
/// <remarks>
/// Requests may be made at any time: without a link, or before the source is ready for them, they are left to the next <see
/// cref="AllowRequests"/>.
/// </remarks>
internal sealed class PostcopyReturnPath
{
    private readonly Lock _turn = new();
    private readonly byte[] _message = GC.AllocateUninitializedArray<byte>(ReturnPathWriter.MaxSize, pinned: true);
    private Channel? _main;
    private bool _requestsAllowed;
    private RamBlock? _lastBlock;
    private long _requests;

    /// <summary>Requests that have been sent, repeated ones included.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Sends on <paramref name="main"/> from now on, null for none.</summary>
    public void Use(Channel? main)
    {
        lock (_turn)
        {
            _main = main;
            _requestsAllowed = false;
            _lastBlock = null;
        }
    }

    /// <summary>The source takes requests: sends those that are open, each once, and from now on every other.</summary>
    public void AllowRequests(PageLedger ledger)
    {
        lock (_turn)
        {
            // Allowed first: a request that is opened now is in the list or sent by its opener, or both, which does no harm.
            _requestsAllowed = true;
            foreach (var (block, page) in ledger.Open())
            {
                SendRequest(block, page, ledger.HostPageSize(block));
            }
        }
    }

    /// <summary>
    /// Asks for a host page. A link that does not take it is about to be found broken by its readers, and the request stays open.
    /// </summary>
    public void Request(RamBlock block, long firstPage, long hostPageSize)
    {
        lock (_turn)
        {
            if (_requestsAllowed)
            {
                SendRequest(block, firstPage, hostPageSize);
            }
        }
    }

    /// <summary>Answers PING <paramref name="value"/>.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendPong(uint value)
    {
        lock (_turn)
        {
            Send(ReturnPathWriter.WritePong(_message, value), "answering a PING");
        }
    }

    /// <summary>The destination's last word.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendShut(bool success)
    {
        lock (_turn)
        {
            Send(ReturnPathWriter.WriteShut(_message, success ? 0u : 1u), "saying the last word");
        }
    }

    /// <summary>Tells the source which pages of <paramref name="block"/> are here.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public unsafe void SendReceivedBitmap(RamBlock block, PageBitmap received)
    {
        lock (_turn)
        {
            Send(ReturnPathWriter.WriteReceivedBitmap(_message, block.Utf8Name), "sending a received bitmap");
            ReceivedBitmapBody.WriteHead(_message, received.PageCount);
            Send(ReceivedBitmapBody.HeadSize, "sending a received bitmap");
            fixed (ulong* words = received.Words)
            {
                // SAFETY: the words are fixed for the call. Words of little-endian machines are the bitmap of the wire.
                Span<IoVec> vector = [new IoVec((nint)words, (nuint)received.Words.Length * sizeof(ulong))];
                Send(vector, "sending a received bitmap");
            }

            ReceivedBitmapBody.WriteEnd(_message);
            Send(ReceivedBitmapBody.EndSize, "sending a received bitmap");
        }
    }

    /// <summary>The source may go on.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendResumeAck()
    {
        lock (_turn)
        {
            Send(ReturnPathWriter.WriteResumeAck(_message), "acknowledging the recovery");
        }
    }

    private void SendRequest(RamBlock block, long firstPage, long hostPageSize)
    {
        var start = firstPage << TargetPage.Shift;
        var size = block == _lastBlock
            ? ReturnPathWriter.WriteRequestPages(_message, start, (uint)hostPageSize)
            : ReturnPathWriter.WriteRequestPages(_message, block.Utf8Name, start, (uint)hostPageSize);
        try
        {
            Send(size, "asking for a page");
            _lastBlock = block;
            Volatile.Write(ref _requests, _requests + 1);
        }
        catch (ChannelException)
        {
            _requestsAllowed = false;
        }
    }

    private unsafe void Send(int size, string doing)
    {
        fixed (byte* message = _message)
        {
            // SAFETY: the array is pinned for good; size is what was written into it.
            Span<IoVec> vector = [new IoVec((nint)message, (nuint)size)];
            Send(vector, doing);
        }
    }

    private void Send(Span<IoVec> vectors, string doing)
    {
        var main = _main ?? throw new ChannelException(FailureReason.PeerClosed, "main", $"there is no link to the source while {doing}");
        var result = main.Send(vectors);
        if (!result.Complete)
        {
            throw ChannelException.From(result, main, doing);
        }
    }
}
