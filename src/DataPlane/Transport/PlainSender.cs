using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>Sends from the caller's memory straight to the socket.</summary>
internal sealed class PlainSender(ChannelSocket socket) : ChannelSender(socket)
{
    public override TransferResult Send(Span<IoVec> vectors)
    {
        long total = 0;
        for (var rest = IoVec.Advance(vectors, 0); !rest.IsEmpty;)
        {
            var done = SendOnce(rest, out var errno);
            if (done >= 0)
            {
                total += done;
                Bytes += done;
                rest = IoVec.Advance(rest, (nuint)done);
            }
            else if (!TryWaitAfter(errno))
            {
                return Socket.Failed(total, errno);
            }
        }

        return new TransferResult(total, ChannelEnd.None, 0);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<TransferResult> SendAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            var bytes = await Socket.SendAsync(buffer, cancellationToken).ConfigureAwait(false);
            Calls++;
            Bytes += bytes;
            return new TransferResult(bytes, ChannelEnd.None, 0);
        }
        catch (SocketException e)
        {
            return Socket.Failed(0, e.NativeErrorCode);
        }
        catch (ObjectDisposedException)
        {
            return Socket.Failed(0, Errno.ECONNABORTED);
        }
    }
}
