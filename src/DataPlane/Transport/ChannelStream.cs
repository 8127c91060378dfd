using System.Runtime.CompilerServices;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// The stream below the pipes of a <see cref="Channel"/>. It is asynchronous only, and closing it does not close the channel. What ends the
/// channel is thrown here, as <see cref="ChannelException"/>.
/// </summary>
internal sealed class ChannelStream(ChannelSocket socket, ChannelSender sender, ChannelReceiver receiver, TlsSession? session) : Stream
{
    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var result = await receiver.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
        return result.End is ChannelEnd.None or ChannelEnd.Closed ? (int)result.Bytes : throw Lost(result);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

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

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Flush()
    {
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override int Read(byte[] buffer, int offset, int count) =>
        throw new NotSupportedException("A channel's stream is asynchronous.");

    public override void Write(byte[] buffer, int offset, int count) =>
        throw new NotSupportedException("A channel's stream is asynchronous.");

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    private ChannelException Lost(TransferResult result) => socket.AbortCause is { } cause
        ? new ChannelException(cause.Reason, cause.Channel, cause.Message, cause)
        : socket.IsAborted ? new ChannelException(socket.Name, ChannelEnd.Aborted, 0, "aborted by this side")
        : session?.Failure is { } failure ? new ChannelException(FailureReason.TlsFailed, socket.Name, failure)
        : result.Errno == Errno.EPROTO
            ? new ChannelException(FailureReason.PeerClosed, socket.Name, "the connection ended inside a TLS record")
        : new ChannelException(socket.Name, result.End, result.Errno, "connection lost");
}
