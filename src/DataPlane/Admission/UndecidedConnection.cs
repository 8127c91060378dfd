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

    public UndecidedConnection(ulong key, AcceptedSocket accepted, long now)
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
    public ulong Key { get; }

    /// <summary>The time at which the connection was accepted, as a timestamp of the admission's clock.</summary>
    public long Accepted { get; }

    public SafeSocketHandle Socket { get; }

    public PeerAddress Address { get; }

    /// <summary>The address as text, for messages and status views.</summary>
    public string Peer { get; }

    public PeerGroup PeerGroup => Address.Group;

    /// <summary>The deadline, as a timestamp of the admission's clock; <see cref="long.MaxValue"/> if there is none.</summary>
    public long Deadline { get; set; }

    public int HeapIndex { get; set; }

    /// <summary>
    /// Whether the connection is in the poll set. It is not when its first bytes were there at accept and decided it, nor when it is held.
    /// </summary>
    public bool IsPolled { get; private set; }

    /// <summary>The connection's place among all connections of its address.</summary>
    public LinkedListNode<UndecidedConnection> InCrowd { get; }

    /// <summary>The connection's place among the silent connections of its address, or among those that have sent something.</summary>
    public LinkedListNode<UndecidedConnection> InKind { get; }

    public LinkedListNode<UndecidedConnection>? InRecords { get; set; }

    public bool IsSilent => _count == 0;

    /// <summary>
    /// Whether nothing more is read from the connection: the host must know more first, or a TLS handshake has the socket.
    /// </summary>
    public bool IsHeld { get; set; }

    /// <summary>Cancels the TLS handshake that has the socket; <see langword="null"/> when none has.</summary>
    public CancellationTokenSource? Upgrading { get; set; }

    /// <summary>Whether TLS has ended here already, so that the connection's bytes are those inside TLS.</summary>
    public bool IsInside { get; init; }

    /// <summary>The TLS session that the bytes are read through, where TLS ends here; else <see langword="null"/>.</summary>
    public TlsSession? Session { get; init; }

    /// <summary>
    /// How the connection ended inside TLS, as far as that is known; else <see langword="null"/>. QEMU checks the other side's certificate
    /// after the handshake, and closes without a message if it does not accept it.
    /// </summary>
    public string? TlsEnding => Session is null ? null
        : Session.Failure ?? (IsSilent ? "it closed right after the handshake, as a source does that does not accept our certificate"
            : null);

    /// <summary>
    /// Whether the peer has ended the connection. Bytes that it sent before may still be in the socket, so reads do not show it yet.
    /// </summary>
    public bool HasEnded => PollCalls.HasPeerEnded(Socket);

    public ReadOnlySpan<byte> Opening => _opening.AsSpan(0, _count);

    public ReadOnlyMemory<byte> Consumed => _opening.AsMemory(0, _count);

    /// <summary>
    /// Reads what is there, without waiting and no further than the rules allow (<see cref="AdmissionRules.ReadLimit"/>). Nothing is
    /// peeked: a peek at part of a magic would report the same bytes for ever.
    /// </summary>
    public unsafe ReadOutcome Read()
    {
        var buffer = stackalloc byte[ReadAtOnce];
        // SAFETY: the span is the buffer, or the beginning of it.
        var room = new Span<byte>(buffer, Math.Min(AdmissionRules.ReadLimit(Opening) - _count, ReadAtOnce));
        if (Session is not null)
        {
            var outcome = TlsHandshake.TryRead(Session, Socket, room, out var inside);
            Take(room[..inside]);
            return outcome;
        }

        // SAFETY: at most as many bytes are written as the room has.
        var n = SocketCalls.Receive(Socket, buffer, (nuint)room.Length, SocketCalls.MessageDontWait);
        if (n < 0)
        {
            return Marshal.GetLastPInvokeError() is Errno.EAGAIN or Errno.EINTR ? ReadOutcome.Nothing : ReadOutcome.Gone;
        }

        if (n == 0)
        {
            return ReadOutcome.Gone;
        }

        Take(room[..(int)n]);
        return n == room.Length ? ReadOutcome.Full : ReadOutcome.Some;
    }

    /// <summary>Puts the connection into the poll set; returns false when the system has no memory for that.</summary>
    public bool TryPoll(EpollSet set) => IsPolled = set.TryAdd(Socket, Key);

    /// <summary>Takes the connection out of the poll set, if it is in it.</summary>
    public void Unpoll(EpollSet set)
    {
        if (IsPolled)
        {
            set.Remove(Socket);
        }

        IsPolled = false;
    }

    public void Close()
    {
        Session?.Dispose();
        Socket.Dispose();
    }

    private void Take(ReadOnlySpan<byte> bytes)
    {
        var needed = _count + bytes.Length;
        if (_opening.Length < needed)
        {
            Array.Resize(ref _opening, Math.Max(needed, AdmissionRules.FirstRead));
        }

        bytes.CopyTo(_opening.AsSpan(_count));
        _count = needed;
    }

    /// <summary>Makes <see cref="Describe"/> show the bytes that have been read and judged.</summary>
    public void Show() => Volatile.Write(ref _shown, _count);

    /// <summary>Describes the connection for status views. Any thread may call it.</summary>
    public UndecidedInfo Describe(TimeProvider time)
    {
        var bytes = Volatile.Read(ref _shown);
        return new UndecidedInfo(Peer, StateWith(bytes), bytes, time.GetElapsedTime(Accepted));
    }

    /// <summary>Whether the connection has sent all that it must, and the host cannot judge it yet. Any thread may call it.</summary>
    public bool IsWaitingForHost() => StateWith(Volatile.Read(ref _shown)) == UndecidedState.Held;

    private UndecidedState StateWith(int shown) =>
        shown > 0 ? IsHeld && Upgrading is null ? UndecidedState.Held : UndecidedState.Speaking
            : Deadline == long.MaxValue ? UndecidedState.Candidate : UndecidedState.Silent;
}
