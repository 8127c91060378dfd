using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Guard.Relay;
using DataPlane.Linux;

namespace DataPlane.Guard.Tls;

/// <summary>One direction of a TLS session while its handshake is watched. One thread uses it.</summary>
/// <param name="from">The socket that is read.</param>
/// <param name="to">The socket that is written; nothing is read faster than it takes.</param>
/// <param name="watch">Sees the bytes.</param>
internal sealed class IntroductionFlow(SafeSocketHandle from, SafeSocketHandle to, IntroductionFlow.Watch watch)
{
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(16 * 1024);
    private int _start;
    private int _end;

    public delegate void Watch(ReadOnlySpan<byte> bytes);

    /// <summary>The number of bytes that were handed on.</summary>
    public long Bytes { get; private set; }

    public ReadOnlyMemory<byte> Pending => _buffer.AsMemory(_start.._end);

    /// <summary>Whether the sender has finished, or is lost.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Whether the receiver is lost and takes no more.</summary>
    public bool IsStuck { get; private set; }

    /// <summary>Moves bytes once, without waiting; returns true when something moved.</summary>
    public bool Pump()
    {
        if (IsStuck || (_start == _end && !TryRead()))
        {
            return false;
        }

        var sent = SocketBytes.Send(to, _buffer.AsSpan(_start.._end));
        IsStuck = sent < 0 && !MayTryAgain();
        _start += (int)Math.Max(sent, 0);
        Bytes += Math.Max(sent, 0);
        return sent > 0;
    }

    private static bool MayTryAgain() => Marshal.GetLastPInvokeError() is Errno.EAGAIN or Errno.EINTR;

    private bool TryRead()
    {
        if (HasEnded)
        {
            return false;
        }

        var read = SocketBytes.Receive(from, _buffer);
        HasEnded = read == 0 || (read < 0 && !MayTryAgain());
        (_start, _end) = (0, (int)Math.Max(read, 0));
        watch(_buffer.AsSpan(0, _end));
        return read > 0;
    }
}
