using System.Runtime.CompilerServices;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// The stream below the pipes of a <see cref="Channel"/>. Closing it does not close the channel. What ends the channel is thrown here, as
/// <see cref="ChannelException"/>.
/// </summary>
internal sealed class ChannelStream(ChannelSocket socket, ChannelSender sender, ChannelReceiver receiver, TlsSession? session)
    : ConnectionStream
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var result = await receiver.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
        return result.End is ChannelEnd.None or ChannelEnd.Closed ? (int)result.Bytes : throw Lost(result);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            var result = await sender.SendAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (!result.Complete)
            {
                throw Lost(result);
            }
        }
        catch (OperationCanceledException)
        {
            // Nobody knows how many of the bytes have left, and the peer could not tell a stream that goes on from here from a whole one.
            socket.Abort(null);
            throw;
        }
    }

    /// <summary>The exception for a transfer that did not complete.</summary>
    public ChannelException Lost(TransferResult result) => socket.AbortCause is { } cause
        ? new ChannelException(cause.Reason, cause.Channel, cause.Message, cause)
        : socket.IsAborted ? new ChannelException(socket.Name, ChannelEnd.Aborted, 0, "aborted by this side")
        : session?.Failure is { } failure ? new ChannelException(FailureReason.TlsFailed, socket.Name, failure)
        : result.Errno == Errno.EPROTO
            ? new ChannelException(FailureReason.PeerClosed, socket.Name, "the connection ended inside a TLS record")
        : new ChannelException(socket.Name, result.End, result.Errno, "connection lost");
}
