using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Guard.Relay;

/// <summary>Single socket calls that never wait. They return what send(2) and recv(2) return.</summary>
internal static class SocketBytes
{
    private const int MessagePeek = 0x02;

    public static unsafe nint Send(SafeSocketHandle socket, ReadOnlySpan<byte> bytes)
    {
        // SAFETY: the bytes are fixed for the call, which reads no more than their length.
        fixed (byte* first = bytes)
        {
            return SpliceCalls.Send(socket, first, (nuint)bytes.Length, SocketCalls.MessageDontWait | SocketCalls.MessageNoSignal);
        }
    }

    public static unsafe nint Receive(SafeSocketHandle socket, Span<byte> buffer)
    {
        // SAFETY: the buffer is fixed for the call, which writes no more than its length.
        fixed (byte* first = buffer)
        {
            return SocketCalls.Receive(socket, first, (nuint)buffer.Length, SocketCalls.MessageDontWait);
        }
    }

    /// <summary>
    /// Returns the number of bytes that were sent on a Unix socket and that the other side has not read, or more, because the kernel counts
    /// its bookkeeping too. 0 is exact.
    /// </summary>
    public static unsafe long UnreadAtMost(SafeSocketHandle socket)
    {
        int unread;
        // SAFETY: the kernel writes one int.
        return SpliceCalls.Control(socket, SpliceCalls.UnreadBytes, &unread) == 0 ? unread : long.MaxValue;
    }

    /// <summary>Whether there is a byte to read; it stays in the socket.</summary>
    public static unsafe bool HasAny(SafeSocketHandle socket)
    {
        byte one;
        // SAFETY: at most one byte is written.
        return SocketCalls.Receive(socket, &one, 1, SocketCalls.MessageDontWait | MessagePeek) > 0;
    }
}
