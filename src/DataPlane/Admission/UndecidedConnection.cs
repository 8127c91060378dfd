using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Admission;

/// <summary>
/// A connection between accept and decision. Small on purpose: strangers may hold thousands of them. Used by the admission thread only, but
/// for <see cref="Describe"/>.
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
        Peer = accepted.Peer;
        Address = accepted.Address is { IsIPv4MappedToIPv6: true } mapped ? mapped.MapToIPv4() : accepted.Address;
        // Ports tell nothing, so a peer is its address. Unix peers have none: they count per listener.
        PeerGroup = Address?.ToString() ?? accepted.Peer;
        InCrowd = new LinkedListNode<UndecidedConnection>(this);
        InKind = new LinkedListNode<UndecidedConnection>(this);
    }

    /// <summary>Names it in the poll set; never used again, unlike the descriptor's number.</summary>
    internal ulong Key { get; }

    /// <summary>Timestamp of the admission's clock.</summary>
    internal long Accepted { get; }

    internal SafeSocketHandle Socket { get; }

    internal string Peer { get; }

    internal string PeerGroup { get; }

    /// <summary>The peer's; <see langword="null"/> for Unix sockets.</summary>
    internal IPAddress? Address { get; }

    /// <summary>Timestamp of the admission's clock; <see cref="long.MaxValue"/> without one.</summary>
    internal long Deadline { get; set; }

    internal int HeapIndex { get; set; }

    /// <summary>Whether it is in the poll set: not when its first bytes were there at accept and decided it, nor when it is held.</summary>
    internal bool IsPolled { get; set; }

    /// <summary>Among all of its address.</summary>
    internal LinkedListNode<UndecidedConnection> InCrowd { get; }

    /// <summary>Among the silent ones of its address, or among those that have begun to speak.</summary>
    internal LinkedListNode<UndecidedConnection> InKind { get; }

    internal LinkedListNode<UndecidedConnection>? InRecords { get; set; }

    internal bool IsSilent => _count == 0;

    /// <summary>Whether nothing it says can help: the host must know more first.</summary>
    internal bool IsHeld { get; set; }

    /// <summary>Ends the handshake that has its socket; <see langword="null"/> when none has.</summary>
    internal CancellationTokenSource? Upgrading { get; set; }

    /// <summary>Whether its TLS has ended already: what it says is plain.</summary>
    internal bool IsInside { get; init; }

    /// <summary>Through which its bytes are read, where TLS ends here.</summary>
    internal TlsSession? Session { get; init; }

    /// <summary>
    /// What there is to say of its end inside TLS. QEMU looks at the other side's certificate after the handshake, and closes without a
    /// word.
    /// </summary>
    internal string? LastWord => Session is null ? null
        : Session.Failure ?? (IsSilent ? "it closed right after the handshake, as a source does that does not accept our certificate"
            : null);

    internal ReadOnlySpan<byte> Opening => _opening.AsSpan(0, _count);

    internal ReadOnlyMemory<byte> Consumed => _opening.AsMemory(0, _count);

    /// <summary>
    /// Takes what is there, without waiting and never past the bytes that a decision needs. Nothing is peeked: a peek at part of a magic
    /// would report the same bytes for ever.
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

        var n = Libc.Receive(Socket, buffer, (nuint)room, Libc.MessageDontWait);
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
        // SAFETY: that many bytes of it have been filled.
        new ReadOnlySpan<byte>(buffer, count).CopyTo(_opening.AsSpan(_count));
        _count = needed;
        return outcome;
    }

    /// <summary>Lets <see cref="Describe"/> tell what has been read and judged.</summary>
    internal void Show() => Volatile.Write(ref _shown, _count);

    /// <summary>Any thread.</summary>
    internal UndecidedInfo Describe(TimeProvider time)
    {
        var bytes = Volatile.Read(ref _shown);
        var state = bytes > 0 ? IsHeld && Upgrading is null ? UndecidedState.Held : UndecidedState.Speaking
            : Deadline == long.MaxValue ? UndecidedState.Candidate : UndecidedState.Silent;
        return new UndecidedInfo(Peer, state, bytes, time.GetElapsedTime(Accepted));
    }
}
