using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// One connected socket of a migration. Each direction is used in one of two ways and never in both: bulk (<see cref="Send"/>,
/// <see cref="Receive"/>, <see cref="OpenReader"/>: blocking calls on native memory, for a thread of ours) or as a stream
/// (<see cref="Input"/>, <see cref="Output"/>: async, through the runtime's epoll thread).
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
internal sealed partial class Channel : IAsyncDisposable
{
    private readonly Socket _socket;
    private readonly SafeSocketHandle _handle;
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private int _closed;
    private int _aborted;
    private ChannelException? _abortCause;

    /// <param name="handle">A connected socket in blocking mode; the channel owns it from now on.</param>
    /// <param name="id">Which channel it is.</param>
    /// <param name="peer">The other end as text, for messages.</param>
    /// <param name="pool">Blocks for the streams.</param>
    /// <param name="time">Clock of the drain at close; the system's by default.</param>
    /// <param name="tls">
    /// The TLS session of the channel, with its handshake done; null for a plain channel. The channel owns it from now on.
    /// </param>
    internal Channel(SafeSocketHandle handle, ChannelId id, string peer, BlockPool pool, TimeProvider? time = null, TlsSession? tls = null)
    {
        _handle = handle;
        _socket = new Socket(handle);
        _pool = pool;
        _time = time ?? TimeProvider.System;
        _tls = tls;
        Id = id;
        Name = id.ToString();
        Peer = peer;
    }

    internal ChannelId Id { get; }

    /// <summary>The name for messages, such as "main" or "multifd 3".</summary>
    internal string Name { get; }

    internal string Peer { get; }

    /// <summary>Whom the connection comes from; <see langword="null"/> for a channel that was dialled.</summary>
    internal PeerGroup? PeerGroup { get; init; }

    /// <summary>The socket, for options and figures that only the kernel knows; not for moving bytes.</summary>
    internal SafeSocketHandle Handle => _handle;

    /// <summary>
    /// Bytes that the kernel has taken from this side; inside TLS, the plain bytes that were encrypted. One thread writes it, any may read
    /// it.
    /// </summary>
    internal long BytesSent { get; private set; }

    /// <summary>
    /// Bytes that were received; inside TLS, the plain bytes. Prepended bytes count when they are delivered. One thread writes it, any may
    /// read it.
    /// </summary>
    internal long BytesReceived { get; private set; }

    /// <summary>System calls made for sending: each sendmsg, or one per write of the stream.</summary>
    internal long SendCalls { get; private set; }

    /// <summary>System calls made for receiving: each recvmsg, or one per read of the stream.</summary>
    internal long ReceiveCalls { get; private set; }

    /// <summary>Whether <see cref="Abort"/> was called.</summary>
    internal bool IsAborted => Volatile.Read(ref _aborted) != 0;

    /// <summary>The cause that <see cref="Abort"/> was given; null where it was given none, or has not been called.</summary>
    internal ChannelException? AbortCause => Volatile.Read(ref _abortCause);

    /// <summary>
    /// Closes in order: flushes <see cref="Output"/>, sends FIN (after close_notify where that is wanted), and reads and drops whatever the
    /// peer still sends until its own FIN. Returns true when that came; false when <paramref name="drain"/> was over first, the peer was
    /// gone, or the channel was aborted or closed before.
    /// </summary>
    /// <param name="drain">Longest time for all of it. Zero neither flushes nor waits for the peer.</param>
    /// <param name="cancellationToken">Ends the waiting, not the closing: the socket is closed in any case, and nothing is thrown.</param>
    internal async ValueTask<bool> CloseAsync(TimeSpan drain, CancellationToken cancellationToken)
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
                await FlushStreamAsync(linked.Token).ConfigureAwait(false);
                await SendCloseNotifyAsync(linked.Token).ConfigureAwait(false);
            }

            _socket.Shutdown(SocketShutdown.Send);
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
            _tls?.Dispose();
            await CompleteStreamsAsync().ConfigureAwait(false);
        }

        return ended;
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
    internal void Abort(ChannelException? cause = null)
    {
        if (Interlocked.Exchange(ref _aborted, 1) != 0)
        {
            return;
        }

        Volatile.Write(ref _abortCause, cause); // before anybody is woken

        try
        {
            // shutdown(2) must not come first: it sends FIN, and a peer that reads the FIN before the reset takes a torn stream for a
            // complete one. Disconnecting sends the reset itself. Where it is refused (Unix sockets, some kernels while a thread waits),
            // shutdown wakes the threads, and linger 0 turns the last close into the reset.
            _ = Libc.TrySetLingerZero(_handle);
            if (!Libc.TryDisconnect(_handle))
            {
                _ = Libc.Shutdown(_handle, Libc.ShutdownBoth);
            }
        }
        catch (ObjectDisposedException)
        {
            return;
        }

        // The descriptor is closed when the last thread has left its call, so its number cannot be reused while one still uses it.
        _socket.Close(0);
    }

    /// <summary>
    /// Makes the kernel check whether the peer still holds the connection (<see cref="SocketSetup.Probe"/>). Thread-safe.
    /// </summary>
    internal void Probe(TimeSpan limit)
    {
        try
        {
            SocketSetup.Probe(_handle, limit);
        }
        catch (ObjectDisposedException)
        {
            // Closed meanwhile: there is nothing left to find out.
        }
    }

    /// <summary>
    /// Whether something that was sent waits for an acknowledgement by the peer's kernel, and how long ago the last one came
    /// (<see cref="SocketSetup.AwaitsAcknowledgement"/>). Thread-safe.
    /// </summary>
    internal bool AwaitsAcknowledgement(out TimeSpan sinceLast)
    {
        try
        {
            return SocketSetup.AwaitsAcknowledgement(_handle, out sinceLast);
        }
        catch (ObjectDisposedException)
        {
            sinceLast = TimeSpan.Zero;
            return false;
        }
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
