using System.IO.Pipelines;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// One connected socket of a migration, plain or inside TLS. Each direction is used in one of two ways at a time: bulk
/// (<see cref="Send"/>, <see cref="Receive"/>, <see cref="OpenReader"/>: blocking calls on native memory, for a thread of ours) or as a
/// stream (<see cref="Input"/>, <see cref="Output"/>: async, through the runtime's epoll thread).
/// </summary>
/// <remarks>
/// <para>The ways to end it:</para>
/// <list type="table">
/// <item><term><see cref="CloseAsync"/></term><description>flush, FIN, wait for the peer's FIN, close. The peer reads every byte and then
/// an end.</description></item>
/// <item><term><see cref="DisposeAsync"/></term><description>FIN and close, no flush, no wait. What is queued still goes out, unless the
/// peer has sent bytes that nobody read: then the kernel resets the connection and the peer may lose the rest.</description></item>
/// <item><term><see cref="Abort"/></term><description>reset at once, from any thread. The peer of a TCP channel gets ECONNRESET and loses
/// what it has not read; the peer of a Unix channel sees a plain end, because those sockets know no reset.</description></item>
/// </list>
/// <para>One thread may send while another receives; each direction belongs to one thread at a time. <see cref="Abort"/> and the counters
/// may be used from anywhere.</para>
/// </remarks>
internal sealed class Channel : IAsyncDisposable
{
    private readonly ChannelSocket _socket;
    private readonly ChannelSender _sender;
    private readonly ChannelReceiver _receiver;
    private readonly ChannelStream _stream;
    private readonly ChannelPipes _pipes;
    private readonly TlsSession? _session;
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private int _closed; // by Interlocked

    /// <param name="handle">A connected socket in blocking mode; the channel owns it from now on.</param>
    /// <param name="id">Which channel it is.</param>
    /// <param name="peer">The other end as text, for messages.</param>
    /// <param name="pool">Blocks for the streams.</param>
    /// <param name="time">Clock of the drain at close; the system's by default.</param>
    /// <param name="session">
    /// The TLS session of the channel, with its handshake done; null for a plain channel. The channel owns it from now on.
    /// </param>
    public Channel(
        SafeSocketHandle handle, ChannelId id, string peer, BlockPool pool, TimeProvider? time = null, TlsSession? session = null)
    {
        Id = id;
        Name = id.ToString();
        Peer = peer;
        _session = session;
        _pool = pool;
        _time = time ?? TimeProvider.System;
        _socket = new ChannelSocket(new Socket(handle), Name);
        if (session is null)
        {
            _receiver = new PlainReceiver(_socket);
            _sender = new PlainSender(_socket);
        }
        else
        {
            var receiver = new TlsReceiver(_socket, session);
            _receiver = receiver;
            _sender = new TlsSender(_socket, session, receiver);
        }

        _stream = new ChannelStream(_socket, _sender, _receiver, session);
        _pipes = new ChannelPipes(_stream, pool, Name);
    }

    public ChannelId Id { get; }

    /// <summary>The name for messages, such as "main" or "multifd 3".</summary>
    public string Name { get; }

    public string Peer { get; }

    /// <summary>Whom the connection comes from; <see langword="null"/> for a channel that was dialled.</summary>
    public PeerGroup? PeerGroup { get; init; }

    /// <summary>The socket, for options and figures that only the kernel knows; not for moving bytes.</summary>
    public SafeSocketHandle Handle => _socket.Handle;

    /// <summary>
    /// Bytes that the kernel has taken from this side; inside TLS, the plain bytes that were encrypted, so that figures compare with those
    /// of a plain channel. One thread writes it, any may read it.
    /// </summary>
    public long BytesSent => _sender.Bytes;

    /// <summary>
    /// Bytes that were received; inside TLS, the plain bytes. Prepended bytes count when they are delivered. One thread writes it, any may
    /// read it.
    /// </summary>
    public long BytesReceived => _receiver.Bytes;

    /// <summary>System calls made for sending: each sendmsg, or one per write of the stream.</summary>
    public long SendCalls => _sender.Calls;

    /// <summary>System calls made for receiving: each recvmsg, or one per read of the stream.</summary>
    public long ReceiveCalls => _receiver.Calls;

    /// <summary>Whether <see cref="Abort"/> was called.</summary>
    public bool IsAborted => _socket.IsAborted;

    /// <summary>The cause that <see cref="Abort"/> was given; null where it was given none, or has not been called.</summary>
    public ChannelException? AbortCause => _socket.AbortCause;

    /// <summary>What broke the TLS session; <see langword="null"/> when nothing did, or the channel is plain.</summary>
    public string? TlsFailure => _session?.Failure;

    /// <summary>
    /// A channel without which sending on this one has no purpose. A <see cref="Send"/> that has to wait watches it too, and aborts this
    /// channel when the other has ended. With null, the default, a send waits for its own peer only.
    /// </summary>
    public Channel? SendsWith
    {
        get;
        set
        {
            field = value;
            _sender.Companion = value?._socket;
        }
    }

    /// <summary>
    /// The channel as a stream to read, on blocks of the pool. Its first use makes the socket non-blocking and registers it with the
    /// runtime's epoll thread for good. Reading throws <see cref="ChannelException"/> unless the peer has closed in order.
    /// </summary>
    public PipeReader Input => _pipes.Input;

    /// <summary>
    /// The channel as a stream to write, on blocks of the pool; nothing is sent before a flush. Its first use makes the socket non-blocking
    /// and registers it with the runtime's epoll thread for good.
    /// </summary>
    public PipeWriter Output => _pipes.Output;

    /// <summary>
    /// The channel as a stream that the reading thread fills itself, on blocks of the pool. It stays the same, with what it has buffered,
    /// for every reader of the channel, one after the other. Reading throws <see cref="ChannelException"/> unless the peer has closed in
    /// order. To be called by the reading thread, or before it starts.
    /// </summary>
    /// <param name="cancellable">Whether a read that waits can be cancelled; the first call decides.</param>
    /// <param name="doing">What is read from now on, for the message when the connection is lost.</param>
    public BlockingPipeReader OpenReader(bool cancellable = false, string? doing = null) =>
        _pipes.OpenReader(FillReader, cancellable, doing);

    /// <summary>
    /// Takes bytes that were read from the socket before it became this channel; they are delivered first, whichever way the channel is
    /// read. To be called before the first read.
    /// </summary>
    public void Prepend(ReadOnlySpan<byte> consumed) => _receiver.Prepend(consumed);

    /// <summary>
    /// Adds bytes to <see cref="BytesReceived"/> that were read from the socket before it became this channel, and are not delivered again.
    /// </summary>
    public void CountConsumed(int bytes) => _receiver.CountConsumed(bytes);

    /// <summary>
    /// Sends all of <paramref name="vectors"/> straight from the memory that they point to, and blocks the calling thread until then.
    /// Usually this is one system call. The vectors are changed in place.
    /// </summary>
    public TransferResult Send(Span<IoVec> vectors) => _sender.Send(vectors);

    /// <summary>
    /// Fills all of <paramref name="vectors"/>, straight into the memory that they point to, and blocks the calling thread until then.
    /// Usually this is one system call, however slowly the bytes come. <see cref="ChannelEnd.Closed"/> without a byte is an end at a
    /// boundary; with some bytes it is a torn record. The vectors are changed in place.
    /// </summary>
    public TransferResult Receive(Span<IoVec> vectors) => _receiver.Receive(vectors);

    /// <summary>
    /// Receives the bytes that are there, inside TLS at most one record, and blocks the calling thread until there is at least one.
    /// <see cref="ChannelEnd.Closed"/> without a byte is the end of the stream. With <paramref name="wake"/>, a wait ends when that is
    /// signalled: then there is neither a byte nor an end.
    /// </summary>
    public TransferResult ReceiveSome(IoVec vector, EventFd? wake = null) => _receiver.ReceiveSome(vector, wake);

    /// <summary>
    /// Makes <see cref="CloseAsync"/> send close_notify before FIN. Only a source does so, and only on its multifd channels. Without effect
    /// on a plain channel.
    /// </summary>
    public void EndWithCloseNotify() => _sender.EndWithCloseNotify();

    /// <summary>
    /// Closes in order: flushes <see cref="Output"/>, sends FIN (after close_notify where that is wanted), and reads and drops whatever the
    /// peer still sends until its own FIN. Returns true when that came; false when <paramref name="drain"/> was over first, the peer was
    /// gone, or the channel was aborted or closed before.
    /// </summary>
    /// <param name="drain">Longest time for all of it. Zero neither flushes nor waits for the peer.</param>
    /// <param name="cancellationToken">Ends the waiting, not the closing: the socket is closed in any case, and nothing is thrown.</param>
    public async ValueTask<bool> CloseAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
        {
            return false;
        }

        var ended = false;
        using var deadline = new CancellationTokenSource(drain, _time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            if (drain > TimeSpan.Zero)
            {
                if (!IsAborted)
                {
                    await _pipes.FlushAsync(linked.Token).ConfigureAwait(false);
                }

                await _sender.SendLastAsync(linked.Token).ConfigureAwait(false);
            }

            _socket.Finish();
            if (drain > TimeSpan.Zero)
            {
                await DrainAsync(linked.Token).ConfigureAwait(false);
            }

            ended = drain > TimeSpan.Zero;
        }
        catch (Exception e) when (e is SocketException or ChannelException or ObjectDisposedException or OperationCanceledException)
        {
            // The peer is gone, the channel was aborted meanwhile, or the time is over: the socket is closed below in any case.
        }
        finally
        {
            _socket.Dispose();
            _session?.Dispose();
            await _pipes.CompleteAsync().ConfigureAwait(false);
        }

        return ended;
    }

    /// <summary>
    /// Waits until the peer has closed the connection, or is gone, and drops what it sends until then. This end stays open.
    /// </summary>
    /// <param name="limit">The longest wait.</param>
    public async ValueTask OutlastPeerAsync(TimeSpan limit)
    {
        using var deadline = new CancellationTokenSource(limit, _time);
        try
        {
            await DrainAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ChannelException or ObjectDisposedException or OperationCanceledException)
        {
            // The peer is gone, the channel was aborted meanwhile, or the time is over.
        }
    }

    /// <summary>Closes without waiting for the peer. After <see cref="Abort"/> it only returns the blocks of the streams.</summary>
    public async ValueTask DisposeAsync() => _ = await CloseAsync(TimeSpan.Zero, CancellationToken.None).ConfigureAwait(false);

    /// <summary>
    /// Resets the connection at once, and makes every thread return that is inside a call on it. Idempotent, thread-safe. The owner still
    /// disposes of the channel, when nobody uses its streams any more.
    /// </summary>
    /// <param name="cause">
    /// What everybody is told who uses the channel now or later; without it, they are told that this side has closed it. Only the first
    /// call counts.
    /// </param>
    public void Abort(ChannelException? cause = null) => _socket.Abort(cause);

    /// <summary>
    /// Resets the connection and leaves the socket open, for a channel that is relayed by epoll (<see cref="ChannelSocket.Reset"/>).
    /// Thread-safe.
    /// </summary>
    public void Reset() => _socket.Reset();

    /// <summary>
    /// Makes the kernel check whether the peer still holds the connection (<see cref="SocketSetup.Probe"/>). Thread-safe.
    /// </summary>
    public void Probe(TimeSpan limit) => _socket.Probe(limit);

    /// <summary>
    /// Whether something that was sent waits for an acknowledgement by the peer's kernel, and how long ago the last one came
    /// (<see cref="SocketSetup.AwaitsAcknowledgement"/>). Thread-safe.
    /// </summary>
    public bool AwaitsAcknowledgement(out TimeSpan sinceLast) => _socket.AwaitsAcknowledgement(out sinceLast);

    /// <summary>
    /// The exception for a transfer that did not complete. <paramref name="doing"/> is what was being done; null if it goes without saying.
    /// </summary>
    public ChannelException Failed(TransferResult result, string? doing) =>
        doing is null ? _stream.Lost(result) : ChannelException.From(result, this, doing);

    private int FillReader(IoVec room, EventFd? wake, string? doing)
    {
        var result = ReceiveSome(room, wake);
        return result.End switch
        {
            ChannelEnd.None => result.Bytes == 0 ? -1 : (int)result.Bytes,
            ChannelEnd.Closed => 0,
            _ => throw Failed(result, doing),
        };
    }

    private async ValueTask DrainAsync(CancellationToken cancellationToken)
    {
        using var block = _pool.RentBlock(Name + " drain");
        while (await _socket.ReceiveAsync(block.Memory, cancellationToken).ConfigureAwait(false) > 0)
        {
            // The bytes are dropped: unread bytes at close would turn our FIN into a reset.
        }
    }
}
