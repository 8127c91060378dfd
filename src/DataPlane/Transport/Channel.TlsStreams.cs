using System.Runtime.CompilerServices;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>The streams of a channel inside TLS.</summary>
internal sealed partial class Channel
{
    private TlsMemory? _outgoing;
    private TlsMemory? _incoming;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReadTlsAsync(TlsSession tls, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        Hold(tls);
        Volatile.Write(ref _reading, 1);
        try
        {
            while (true)
            {
                var result = Decrypt(tls, buffer.Span, out var done);
                BytesReceived += done;
                if (result == TlsResult.Done || (result == TlsResult.Ended && !IsAborted))
                {
                    return done;
                }

                if (result != TlsResult.NeedsInput)
                {
                    throw StreamEnded(Errno.EPROTO);
                }

                _incoming ??= new TlsMemory();
                var count = await _socket.ReceiveAsync(_incoming.Over(tls.PeekIncoming()), cancellationToken).ConfigureAwait(false);
                ReceiveCalls++;
                if (count == 0)
                {
                    return IsAborted || tls.HoldsPiece ? throw StreamEnded(Errno.EPROTO) : 0;
                }

                tls.ConfirmIncoming(count);
            }
        }
        finally
        {
            Volatile.Write(ref _reading, 0);
            tls.Release();
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteTlsAsync(TlsSession tls, ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        Hold(tls);
        try
        {
            while (!buffer.IsEmpty)
            {
                var result = Encrypt(tls, buffer.Span, out var done);
                if (result is not (TlsResult.Done or TlsResult.NeedsOutput))
                {
                    throw StreamEnded(Errno.EPROTO);
                }

                BytesSent += done;
                buffer = buffer[done..];
                if (result == TlsResult.NeedsOutput)
                {
                    await SendOutgoingAsync(tls, cancellationToken).ConfigureAwait(false);
                }
            }

            await SendOutgoingAsync(tls, cancellationToken).ConfigureAwait(false);
        }
        catch (System.Net.Sockets.SocketException)
        {
            ReadAlert(tls);
            throw;
        }
        finally
        {
            tls.Release();
        }
    }

    private async ValueTask SendOutgoingAsync(TlsSession tls, CancellationToken cancellationToken)
    {
        _outgoing ??= new TlsMemory();
        while (tls.PeekOwed() is { Length: > 0 } piece)
        {
            var count = await _socket.SendAsync(_outgoing.Over(piece), cancellationToken).ConfigureAwait(false);
            SendCalls++;
            tls.ConfirmOutgoing(count);
        }
    }

    private async ValueTask SendCloseNotifyAsync(CancellationToken cancellationToken)
    {
        if (_tls is not { SendsCloseNotify: true } tls)
        {
            return;
        }

        Hold(tls);
        try
        {
            tls.AppendCloseNotify();
            await SendOutgoingAsync(tls, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            tls.Release();
        }
    }

    // SAFETY (both): the span is fixed for the call.
    private static unsafe TlsResult Decrypt(TlsSession tls, Span<byte> target, out int done)
    {
        fixed (byte* data = target)
        {
            return tls.Decrypt((nint)data, target.Length, out done);
        }
    }

    private static unsafe TlsResult Encrypt(TlsSession tls, ReadOnlySpan<byte> source, out int done)
    {
        fixed (byte* data = source)
        {
            return tls.Encrypt((nint)data, source.Length, out done);
        }
    }

    private void Hold(TlsSession tls)
    {
        if (!TryHold(tls))
        {
            throw StreamEnded(Errno.ECONNABORTED);
        }
    }
}
