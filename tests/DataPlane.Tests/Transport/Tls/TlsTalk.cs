using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Transport.Tls;

namespace DataPlane.Tests.Transport.Tls;

/// <summary>What a peer may do with a session that ours never does.</summary>
internal static unsafe partial class TlsTalk
{
    /// <summary>Puts a message that this end changes its key into the session's outgoing bytes.</summary>
    /// <param name="session">After its handshake, TLS 1.3.</param>
    /// <param name="demands">Whether the peer is to change its own, and to say so.</param>
    internal static void ChangeKey(TlsSession session, bool demands)
    {
        if (UpdateKey(SessionOf(session), demands ? 1 : 0) != 1 || OpenSsl.Handshake(SessionOf(session)) != 1)
        {
            throw new InvalidOperationException("OpenSSL changes no key.");
        }
    }

    /// <summary>Moves what lies in one session's outgoing bytes to the other, as a network would.</summary>
    internal static void Move(TlsSession from, TlsSession to)
    {
        while (from.PeekOutgoing() is { Length: > 0 } piece)
        {
            var room = to.PeekIncoming();
            var count = (int)Math.Min(piece.Length, room.Length);
            piece.AsSpan(count).CopyTo(room.AsSpan());
            from.ConfirmOutgoing(count);
            to.ConfirmIncoming(count);
        }
    }

    /// <summary>Takes what lies in a session's outgoing bytes; returns how much.</summary>
    internal static int Take(TlsSession session, Span<byte> target)
    {
        var piece = session.PeekOutgoing();
        var count = (int)Math.Min(piece.Length, (nuint)target.Length);
        piece.AsSpan(count).CopyTo(target);
        session.ConfirmOutgoing(count);
        return count;
    }

    /// <summary>Encrypts some bytes.</summary>
    internal static TlsResult Say(TlsSession session, ReadOnlySpan<byte> bytes) => session.Encrypt(bytes, out _);

    /// <summary>Decrypts what is there; returns how much.</summary>
    internal static int Hear(TlsSession session)
    {
        session.Decrypt(stackalloc byte[1024], out var done);
        return done;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_session")]
    private static extern ref nint SessionOf(TlsSession session);

    [LibraryImport("libssl.so.3", EntryPoint = "SSL_key_update")]
    private static partial int UpdateKey(nint session, int type);
}
