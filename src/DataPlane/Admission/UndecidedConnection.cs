using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>
/// A connection between accept and decision. Small on purpose: strangers may hold thousands of them. Used by the admission thread only.
/// </summary>
internal sealed class UndecidedConnection
{
    private byte[] _opening = [];
    private int _count;

    internal UndecidedConnection(ulong key, AcceptedSocket accepted)
    {
        Key = key;
        Socket = accepted.Socket;
        Peer = accepted.Peer;
        // Ports tell nothing, so a peer is its address. Unix peers have none: they count per listener.
        PeerGroup = accepted.Address?.ToString() ?? accepted.Peer;
        InDeadlineOrder = new LinkedListNode<UndecidedConnection>(this);
        InPeerOrder = new LinkedListNode<UndecidedConnection>(this);
    }

    /// <summary>Names it in the poll set; never used again, unlike the descriptor's number.</summary>
    internal ulong Key { get; }

    internal SafeSocketHandle Socket { get; }

    internal string Peer { get; }

    internal string PeerGroup { get; }

    /// <summary>Timestamp of the admission's clock.</summary>
    internal long Deadline { get; set; }

    /// <summary>Whether it is in the poll set: not when its first bytes were there at accept and decided it.</summary>
    internal bool IsPolled { get; set; }

    internal LinkedListNode<UndecidedConnection> InDeadlineOrder { get; }

    internal LinkedListNode<UndecidedConnection> InPeerOrder { get; }

    internal bool IsSilent => _count == 0;

    internal ReadOnlySpan<byte> Opening => _opening.AsSpan(0, _count);

    /// <summary>
    /// Takes what is there, without waiting and never past the bytes that a decision needs. False when the peer has gone. Nothing is
    /// peeked: a peek at part of a magic would report the same bytes for ever.
    /// </summary>
    internal unsafe bool TryRead()
    {
        byte* buffer = stackalloc byte[AdmissionRules.MaxOpening];
        nuint room = (nuint)(AdmissionRules.MaxOpening - _count);
        // SAFETY: at most room bytes are written, and the buffer has no less.
        nint n = Libc.Receive(Socket, buffer, room, Libc.MessageDontWait);
        if (n < 0)
            return Marshal.GetLastPInvokeError() is Errno.EAGAIN or Errno.EINTR;
        if (n == 0)
            return false;

        if (_opening.Length == 0)
            _opening = new byte[AdmissionRules.MaxOpening];
        new ReadOnlySpan<byte>(buffer, (int)n).CopyTo(_opening.AsSpan(_count));
        _count += (int)n;
        return true;
    }
}
