using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Admission;

/// <summary>
/// A connection between accept and decision. It is kept small, because strangers may hold thousands of them. Used by the admission thread
/// only, except for <see cref="Describe"/> and <see cref="IsWaitingForHost"/>.
/// </summary>
internal sealed class UndecidedConnection
{
    private const int ReadAtOnce = 1024;

    private byte[] _opening = [];
    private int _count;
    private int _shown;

    internal UndecidedConnection(ulong key, AcceptedSocket accepted, long now)
    {
        Accepted = now;
        Key = key;
        Socket = accepted.Socket;
        Address = accepted.Peer;
        Peer = accepted.Peer.ToString();
        InCrowd = new LinkedListNode<UndecidedConnection>(this);
        InKind = new LinkedListNode<UndecidedConnection>(this);
    }

    /// <summary>Identifies the connection in the poll set. Unlike the number of a descriptor, a key is never used again.</summary>
    internal ulong Key { get; }

    /// <summary>The time at which the connection was accepted, as a timestamp of the admission's clock.</summary>
    internal long Accepted { get; }

    internal SafeSocketHandle Socket { get; }

    internal PeerAddress Address { get; }

    /// <summary>The address as text, for messages and status views.</summary>
    internal string Peer { get; }

    internal PeerGroup PeerGroup => Address.Group;

    /// <summary>The deadline, as a timestamp of the admission's clock; <see cref="long.MaxValue"/> if there is none.</summary>
    internal long Deadline { get; set; }

    internal int HeapIndex { get; set; }

    /// <summary>
    /// Whether the connection is in the poll set. It is not when its first bytes were there at accept and decided it, nor when it is held.
    /// </summary>
    internal bool IsPolled { get; set; }

    /// <summary>The connection's place among all connections of its address.</summary>
    internal LinkedListNode<UndecidedConnection> InCrowd { get; }

    /// <summary>The connection's place among the silent connections of its address, or among those that have sent something.</summary>
    internal LinkedListNode<UndecidedConnection> InKind { get; }

    internal LinkedListNode<UndecidedConnection>? InRecords { get; set; }

    internal bool IsSilent => _count == 0;

    /// <summary>
    /// Whether nothing more is read from the connection: the host must know more first, or a TLS handshake has the socket.
    /// </summary>
    internal bool IsHeld { get; set; }

    /// <summary>Cancels the TLS handshake that has the socket; <see langword="null"/> when none has.</summary>
    internal CancellationTokenSource? Upgrading { get; set; }

    /// <summary>Whether TLS has ended here already, so that the connection's bytes are those inside TLS.</summary>
    internal bool IsInside { get; init; }

    /// <summary>The TLS session that the bytes are read through, where TLS ends here; else <see langword="null"/>.</summary>
    internal TlsSession? Session { get; init; }

    /// <summary>
    /// How the connection ended inside TLS, as far as that is known; else <see langword="null"/>. QEMU checks the other side's certificate
    /// after the handshake, and closes without a message if it does not accept it.
    /// </summary>
    internal string? TlsEnding => Session is null ? null
        : Session.Failure ?? (IsSilent ? "it closed right after the handshake, as a source does that does not accept our certificate"
            : null);

    internal ReadOnlySpan<byte> Opening => _opening.AsSpan(0, _count);

    internal ReadOnlyMemory<byte> Consumed => _opening.AsMemory(0, _count);

    /// <summary>
    /// Reads what is there, without waiting and no further than the rules allow (<see cref="AdmissionRules.ReadLimit"/>). Nothing is
    /// peeked: a peek at part of a magic would report the same bytes for ever.
    /// </summary>
    internal unsafe ReadOutcome Read()
    {
        var room = Math.Min(AdmissionRules.ReadLimit(Opening) - _count, ReadAtOnce);
        var buffer = stackalloc byte[ReadAtOnce];
        // SAFETY: at most room bytes are written, and the buffer has no less.
        if (Session is not null)
        {
            return Take(TlsHandshake.TryRead(Session, Socket, buffer, room, out var inside), buffer, inside);
        }

        var n = SocketCalls.Receive(Socket, buffer, (nuint)room, SocketCalls.MessageDontWait);
        if (n < 0)
        {
            return Marshal.GetLastPInvokeError() is Errno.EAGAIN or Errno.EINTR ? ReadOutcome.Nothing : ReadOutcome.Gone;
        }

        if (n == 0)
        {
            return ReadOutcome.Gone;
        }

        return Take(n == room ? ReadOutcome.Full : ReadOutcome.Some, buffer, (int)n);
    }

    internal void Close()
    {
        Session?.Dispose();
        Socket.Dispose();
    }

    private unsafe ReadOutcome Take(ReadOutcome outcome, byte* buffer, int count)
    {
        var needed = _count + count;
        if (_opening.Length < needed)
        {
            Array.Resize(ref _opening, Math.Max(needed, AdmissionRules.FirstRead));
        }
        // SAFETY: the caller has filled that many bytes of the buffer.
        new ReadOnlySpan<byte>(buffer, count).CopyTo(_opening.AsSpan(_count));
        _count = needed;
        return outcome;
    }

    /// <summary>Makes <see cref="Describe"/> show the bytes that have been read and judged.</summary>
    internal void Show() => Volatile.Write(ref _shown, _count);

    /// <summary>Describes the connection for status views. Any thread may call it.</summary>
    internal UndecidedInfo Describe(TimeProvider time)
    {
        var bytes = Volatile.Read(ref _shown);
        return new UndecidedInfo(Peer, StateWith(bytes), bytes, time.GetElapsedTime(Accepted));
    }

    /// <summary>Whether the connection has sent all that it must, and the host cannot judge it yet. Any thread may call it.</summary>
    internal bool IsWaitingForHost() => StateWith(Volatile.Read(ref _shown)) == UndecidedState.Held;

    private UndecidedState StateWith(int shown) =>
        shown > 0 ? IsHeld && Upgrading is null ? UndecidedState.Held : UndecidedState.Speaking
            : Deadline == long.MaxValue ? UndecidedState.Candidate : UndecidedState.Silent;
}
