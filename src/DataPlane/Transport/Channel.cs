using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// One connected socket of a migration. It is used in one of two ways, never both in the same direction: bulk (<see cref="Send"/>,
/// <see cref="Receive"/>: blocking calls on native memory, for a thread of ours) or as a stream (<see cref="Input"/>,
/// <see cref="Output"/>: async, through the runtime's epoll thread).
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
    /// <param name="name">"main", "multifd 3": for messages.</param>
    /// <param name="peer">The other end as text.</param>
    /// <param name="pool">Blocks for the streams.</param>
    /// <param name="time">Clock of the drain at close; the system's by default.</param>
    /// <param name="tls">The session that the channel is inside, its handshake done; the channel owns it from now on.</param>
    internal Channel(SafeSocketHandle handle, string name, string peer, BlockPool pool, TimeProvider? time = null, TlsSession? tls = null)
    {
        _handle = handle;
        _socket = new Socket(handle);
        _pool = pool;
        _time = time ?? TimeProvider.System;
        _tls = tls;
        Name = name;
        Peer = peer;
    }

    internal string Name { get; set; }

    internal string Peer { get; }

    /// <summary>For options and figures that only the kernel knows; not for moving bytes.</summary>
    internal SafeSocketHandle Handle => _handle;

    /// <summary>
    /// Bytes that the kernel took from us; inside TLS those that were encrypted. One writer; may be read by anyone, as the three below.
    /// </summary>
    internal long BytesSent { get; private set; }

    /// <summary>Bytes taken from the kernel; prepended ones were counted by nobody before and count here when they are delivered.</summary>
    internal long BytesReceived { get; private set; }

    /// <summary>System calls made for sending: each sendmsg, or one per write of the stream.</summary>
    internal long SendCalls { get; private set; }

    /// <summary>System calls made for receiving: each recvmsg, or one per read of the stream.</summary>
    internal long ReceiveCalls { get; private set; }

    /// <summary>Whether <see cref="Abort"/> was called.</summary>
    internal bool IsAborted => Volatile.Read(ref _aborted) != 0;

    /// <summary>Why this side has aborted the channel, where <see cref="Abort"/> was told.</summary>
    internal ChannelException? AbortCause => Volatile.Read(ref _abortCause);

    /// <summary>
    /// Closes in order: what <see cref="Output"/> holds is flushed, the peer gets FIN, and whatever it still sends is read and dropped
    /// until its own FIN. True when that came; false when <paramref name="drain"/> was over first, the peer had gone, or the channel was
    /// aborted.
    /// </summary>
    /// <param name="drain">Longest time for all of it; zero neither flushes nor waits for the peer.</param>
    /// <param name="cancellationToken">Ends the waiting, not the closing: the socket is closed in any case and nothing is thrown.</param>
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
                await SayGoodbyeAsync(linked.Token).ConfigureAwait(false);
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
            // Gone already, aborted meanwhile, or out of time: the socket is closed below either way.
        }
        finally
        {
            _socket.Dispose();
            _tls?.Dispose();
            await CompleteStreamsAsync().ConfigureAwait(false);
        }

        return ended;
    }

    /// <summary>Closes without waiting for the peer; after <see cref="Abort"/> it only gives the stream's blocks back.</summary>
    public async ValueTask DisposeAsync() => _ = await CloseAsync(TimeSpan.Zero, CancellationToken.None).ConfigureAwait(false);

    /// <summary>
    /// Resets the connection and brings every thread back that is inside a call on it, at once. Idempotent, thread-safe. The owner still
    /// disposes the channel, when nobody uses its streams any more.
    /// </summary>
    /// <param name="cause">
    /// What everybody is told who uses the channel now or later; without one they are told that this side has closed it. The first call
    /// counts.
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
            // Not shutdown(2) first: that sends FIN, and a peer that reads it before the reset takes a torn stream for a complete one.
            // Disconnecting sends the reset itself. Where it is refused (Unix sockets, some kernels while a thread waits), shutdown wakes
            // the threads and linger 0 turns the last close into the reset.
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

        // The descriptor itself is closed when the last thread has left its call: its number cannot be reused under anyone.
        _socket.Close(0);
    }

    /// <summary>Looks whether the peer still holds the connection (<see cref="SocketSetup.Probe"/>). Thread-safe.</summary>
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
    /// Whether the peer's kernel owes an acknowledgement, and when the last one came (<see cref="SocketSetup.AwaitsAcknowledgement"/>).
    /// Thread-safe.
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
            // Dropped: unread bytes at close would turn our FIN into a reset.
        }
    }
}
