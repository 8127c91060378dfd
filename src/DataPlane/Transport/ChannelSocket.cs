using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// The socket of a <see cref="Channel"/>, which both directions use, and its end on this side: in order by <see cref="Finish"/> and
/// <see cref="Dispose"/>, at once by <see cref="Abort"/>. Any thread may use any member.
/// </summary>
internal sealed class ChannelSocket : IDisposable
{
    private readonly Socket _socket;
    private int _aborted; // set once, by Interlocked
    private ChannelException? _abortCause; // set once, before anybody is woken

    /// <param name="socket">A connected socket, owned by this object from now on.</param>
    /// <param name="name">The channel's name, for messages.</param>
    public ChannelSocket(Socket socket, string name)
    {
        _socket = socket;
        Handle = socket.SafeHandle;
        Name = name;
    }

    public SafeSocketHandle Handle { get; }

    public string Name { get; }

    /// <summary>Whether <see cref="Abort"/> was called.</summary>
    public bool IsAborted => Volatile.Read(ref _aborted) != 0;

    /// <summary>The cause that <see cref="Abort"/> was given; null where it was given none, or has not been called.</summary>
    public ChannelException? AbortCause => Volatile.Read(ref _abortCause);

    public ValueTask<int> SendAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken) =>
        _socket.SendAsync(buffer, cancellationToken);

    public ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken) =>
        _socket.ReceiveAsync(buffer, cancellationToken);

    /// <summary>Sends FIN after everything that was sent.</summary>
    public void Finish() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>
    /// Resets the connection and leaves the socket open, for whoever watches it by epoll: a socket that is closed is in no epoll set any
    /// more, so its end would go unnoticed there.
    /// </summary>
    public void Reset()
    {
        try
        {
            // shutdown(2) must not come first: it sends FIN, and a peer that reads the FIN before the reset takes a torn stream for a
            // complete one. Disconnecting sends the reset itself. Where it is refused (Unix sockets, some kernels while a thread waits),
            // shutdown wakes the threads, and linger 0 turns the last close into the reset.
            _ = SocketCalls.TrySetLingerZero(Handle);
            if (!SocketCalls.TryDisconnect(Handle))
            {
                _ = SocketCalls.Shutdown(Handle, SocketCalls.ShutdownBoth);
            }
        }
        catch (ObjectDisposedException)
        {
            // It is closed already.
        }
    }

    /// <summary>Resets the connection at once (<see cref="Channel.Abort"/>). Only the first call counts.</summary>
    public void Abort(ChannelException? cause)
    {
        if (Interlocked.Exchange(ref _aborted, 1) != 0)
        {
            return;
        }

        Volatile.Write(ref _abortCause, cause);
        Reset();

        // The descriptor is closed when the last thread has left its call, so its number cannot be reused while one still uses it.
        _socket.Close(0);
    }

    /// <summary>
    /// Whether a failed call may be repeated: at once when a signal interrupted it, and otherwise when the socket shows
    /// <paramref name="events"/>. A call does not block where stream use has made the socket non-blocking, or where it must not wait for
    /// its own peer alone.
    /// </summary>
    /// <param name="errno">The error number of the failed call.</param>
    /// <param name="events">What the call waits for.</param>
    /// <param name="companion">
    /// Another channel whose end also ends this wait, if one is given. Then this channel is aborted, because of that one.
    /// </param>
    /// <param name="wake">Ends a wait that has no companion, too, if one is given.</param>
    public bool TryWaitAfter(int errno, short events, ChannelSocket? companion = null, EventFd? wake = null)
    {
        if (IsAborted || errno is not (Errno.EINTR or Errno.EAGAIN))
        {
            return false;
        }

        if (errno == Errno.EINTR)
        {
            return true;
        }

        try
        {
            if (companion is null)
            {
                _ = PollCalls.WaitFor(Handle, events, wake, Timeout.Infinite);
            }
            else if (!PollCalls.WaitToSend(Handle, companion.Handle))
            {
                Abort(new ChannelException(
                    FailureReason.PeerClosed, companion.Name, $"{companion.Name} was lost while bytes waited to be sent on {Name}"));
            }

            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>The result of a transfer that an error has ended after <paramref name="moved"/> bytes.</summary>
    public TransferResult Failed(long moved, int errno) =>
        new(moved, IsAborted ? ChannelEnd.Aborted : SocketErrors.Classify(errno), errno);

    /// <summary>The result of a transfer that has met the end of the stream after <paramref name="moved"/> bytes.</summary>
    public TransferResult Closed(long moved) => new(moved, IsAborted ? ChannelEnd.Aborted : ChannelEnd.Closed, 0);

    /// <summary>Makes the kernel check whether the peer still holds the connection (<see cref="SocketSetup.Probe"/>).</summary>
    public void Probe(TimeSpan limit)
    {
        try
        {
            SocketSetup.Probe(Handle, limit);
        }
        catch (ObjectDisposedException)
        {
            // Closed meanwhile: there is nothing left to find out.
        }
    }

    /// <summary>
    /// Whether something that was sent waits for an acknowledgement by the peer's kernel, and how long ago the last one came
    /// (<see cref="SocketSetup.AwaitsAcknowledgement"/>).
    /// </summary>
    public bool AwaitsAcknowledgement(out TimeSpan sinceLast)
    {
        try
        {
            return SocketSetup.AwaitsAcknowledgement(Handle, out sinceLast);
        }
        catch (ObjectDisposedException)
        {
            sinceLast = TimeSpan.Zero;
            return false;
        }
    }

    /// <summary>Closes the socket. What is queued still goes out, unless bytes are unread: then the kernel resets the connection.</summary>
    public void Dispose() => _socket.Dispose();
}
