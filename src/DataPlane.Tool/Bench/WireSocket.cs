using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The system calls of the wire limit and nothing around them: vectored sends and receives of guest memory on a blocking socket. The
/// product's channels are not used, so that the wire limit contains none of their cost.
/// </summary>
internal static class WireSocket
{
    /// <summary>The bytes of memory per call: as many as a full multifd packet carries.</summary>
    public const int ChunkBytes = 512 * 1024;

    /// <exception cref="IOException">The connection failed.</exception>
    public static unsafe void SendAll(SafeSocketHandle socket, Span<IoVec> vectors)
    {
        while (!vectors.IsEmpty)
        {
            // SAFETY: the vectors name a local or guest memory, both of which outlive the call.
            fixed (IoVec* first = vectors)
            {
                var message = new MsgHdr { Vectors = first, VectorCount = (nuint)vectors.Length };
                var sent = SocketCalls.SendMessage(socket, &message, SocketCalls.MessageNoSignal);
                if (sent < 0)
                {
                    ThrowUnlessInterrupted("sendmsg");
                    continue;
                }

                vectors = IoVec.Advance(vectors, (nuint)sent);
            }
        }
    }

    /// <exception cref="IOException">The connection failed or ended.</exception>
    public static unsafe void ReceiveAll(SafeSocketHandle socket, Span<IoVec> vectors)
    {
        while (!vectors.IsEmpty)
        {
            // SAFETY: the vectors name a local or guest memory, both of which outlive the call; the kernel writes within the vectors.
            fixed (IoVec* first = vectors)
            {
                var message = new MsgHdr { Vectors = first, VectorCount = (nuint)vectors.Length };
                var received = SocketCalls.ReceiveMessage(socket, &message, SocketCalls.MessageWaitAll);
                if (received == 0)
                {
                    throw new IOException("the peer closed a wire connection early");
                }

                if (received < 0)
                {
                    ThrowUnlessInterrupted("recvmsg");
                    continue;
                }

                vectors = IoVec.Advance(vectors, (nuint)received);
            }
        }
    }

    private static void ThrowUnlessInterrupted(string call)
    {
        var errno = Marshal.GetLastPInvokeError();
        if (errno != Errno.EINTR)
        {
            throw new LinuxException(call, errno);
        }
    }
}
