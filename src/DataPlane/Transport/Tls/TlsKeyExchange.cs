using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Gives OpenSSL the key of a handshake with shared keys. OpenSSL calls it on the thread of the handshake. A user or context that is not
/// known has no key, and the handshake fails.
/// </summary>
internal static unsafe class TlsKeyExchange
{
    private static readonly ConcurrentDictionary<nint, TlsCredentials> s_byContext = new();

    /// <summary>Makes the handshakes of a context find the keys of <paramref name="credentials"/>, until <see cref="Detach"/>.</summary>
    public static void Attach(nint context, TlsCredentials credentials)
    {
        s_byContext[context] = credentials;
        if (credentials.End == TlsEnd.Server)
        {
            OpenSsl.SetServerKeyCallback(context, &FindForServer);
        }
        else
        {
            OpenSsl.SetClientKeyCallback(context, &FindForClient);
        }
    }

    public static void Detach(nint context) => s_byContext.TryRemove(context, out _);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static uint FindForServer(nint session, nint identity, byte* key, uint room)
    {
        if (!s_byContext.TryGetValue(OpenSsl.ContextOf(session), out var credentials)
            || Marshal.PtrToStringUTF8(identity) is not { } user
            || !credentials.Policy.Allows(user))
        {
            return 0;
        }

        // SAFETY: OpenSSL vouches for room bytes at key.
        return Give(credentials.SharedKeys?.Find(user), new Span<byte>(key, (int)room));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static uint FindForClient(nint session, nint hint, byte* identity, uint identityRoom, byte* key, uint room)
    {
        if (!s_byContext.TryGetValue(OpenSsl.ContextOf(session), out var credentials) || credentials.User is not { } user)
        {
            return 0;
        }
        // SAFETY: OpenSSL vouches for identityRoom bytes at identity, among them the zero at the end.
        Span<byte> name = new(identity, (int)identityRoom);
        if (!Encoding.UTF8.TryGetBytes(user, name[..^1], out var length))
        {
            return 0;
        }

        name[length] = 0;
        // SAFETY: OpenSSL vouches for room bytes at key, too.
        return Give(credentials.SharedKeys?.Find(user), new Span<byte>(key, (int)room));
    }

    private static uint Give(byte[]? found, Span<byte> key) => found is not null && found.AsSpan().TryCopyTo(key) ? (uint)found.Length : 0;
}
