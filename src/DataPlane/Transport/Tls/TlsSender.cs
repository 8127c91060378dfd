using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Encrypts straight from the caller's memory, and sends what was encrypted. A transfer is complete when all that it has encrypted has
/// left.
/// </summary>
/// <param name="socket">The socket of the channel.</param>
/// <param name="session">The channel's session, with its handshake done.</param>
/// <param name="receiver">The other direction, which finds the reason that a peer may have given when sending fails.</param>
internal sealed class TlsSender(ChannelSocket socket, TlsSession session, TlsReceiver receiver) : ChannelSender(socket)
{
    private bool _sendsCloseNotify;

    public override TransferResult Send(Span<IoVec> vectors)
    {
        if (!session.TryHold())
        {
            return Socket.Failed(0, Errno.ECONNABORTED);
        }

        try
        {
            long total = 0;
            for (var rest = IoVec.Advance(vectors, 0); !rest.IsEmpty;)
            {
                var result = session.Encrypt(rest[0].AsSpan(TlsSession.RecordBytes), out var done);
                if (result == TlsResult.Done)
                {
                    total += done;
                    Bytes += done;
                    rest = IoVec.Advance(rest, (nuint)done);
                }
                else if (result != TlsResult.NeedsOutput)
                {
                    return Socket.Failed(total, Errno.EPROTO);
                }
                else if (SendOwed() is var errno and not 0)
                {
                    return FailedToSend(total, errno);
                }
            }

            return SendOwed() is var last and not 0 ? FailedToSend(total, last) : new TransferResult(total, ChannelEnd.None, 0);
        }
        finally
        {
            session.Release();
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<TransferResult> SendAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        if (!session.TryHold())
        {
            return Socket.Failed(0, Errno.ECONNABORTED);
        }

        var total = 0;
        try
        {
            while (total < buffer.Length)
            {
                var result = session.Encrypt(buffer.Span[total..], out var done);
                if (result is not (TlsResult.Done or TlsResult.NeedsOutput))
                {
                    return Socket.Failed(total, Errno.EPROTO);
                }

                total += done;
                Bytes += done;
                if (result == TlsResult.NeedsOutput)
                {
                    await SendOwedAsync(cancellationToken).ConfigureAwait(false);
                }
            }

            await SendOwedAsync(cancellationToken).ConfigureAwait(false);
            return new TransferResult(total, ChannelEnd.None, 0);
        }
        catch (SocketException e)
        {
            return FailedToSend(total, e.NativeErrorCode);
        }
        catch (ObjectDisposedException)
        {
            return Socket.Failed(total, Errno.ECONNABORTED);
        }
        finally
        {
            session.Release();
        }
    }

    public override void EndWithCloseNotify() => _sendsCloseNotify = true;

    public override async ValueTask SendLastAsync(CancellationToken cancellationToken)
    {
        if (!_sendsCloseNotify)
        {
            return;
        }

        session.Hold();
        try
        {
            session.AppendCloseNotify();
            await SendOwedAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            session.Release();
        }
    }

    /// <summary>
    /// Sends all that was encrypted and blocks until it has left. Returns the error number, or 0 when everything has left. The caller holds
    /// the session.
    /// </summary>
    private int SendOwed()
    {
        while (session.PeekOwed() is { Length: > 0 } piece)
        {
            var done = SendOnce(new ReadOnlySpan<IoVec>(in piece), out var errno);
            if (done > 0)
            {
                session.ConfirmOutgoing((int)done);
            }
            else if (!TryWaitAfter(errno))
            {
                return errno;
            }
        }

        return 0;
    }

    private async ValueTask SendOwedAsync(CancellationToken cancellationToken)
    {
        while (session.PeekOwedMemory() is { IsEmpty: false } piece)
        {
            var count = await Socket.SendAsync(piece, cancellationToken).ConfigureAwait(false);
            Calls++;
            session.ConfirmOutgoing(count);
        }
    }

    private TransferResult FailedToSend(long total, int errno)
    {
        receiver.ReadAlert();
        return Socket.Failed(total, errno);
    }
}
