using System.Runtime.InteropServices;

namespace DataPlane.Transport.Tls;

/// <summary>
/// What all sessions of one end share: its certificate, the authorities that it trusts, and the rules. TLS is at least 1.2 (1.3 with shared
/// keys), without session tickets (a peer that never reads must not get any), resumption or renegotiation, and both ends are verified.
/// </summary>
internal sealed class TlsContext : IDisposable
{
    // TLS 1.3 binds a key from outside to SHA-256 (RFC 8446 section 4.2.11), so the suites of the other hash cannot be used with it.
    private const string SharedKeySuites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

    private readonly TlsEnd _end;
    private readonly TlsPeerPolicy _policy;
    private readonly bool _sharesKeys;
    private nint _context;

    /// <exception cref="TlsCredentialsException">OpenSSL does not take the credentials; the message names the file.</exception>
    public TlsContext(TlsCredentials credentials)
    {
        _end = credentials.End;
        _policy = credentials.Policy;
        _sharesKeys = credentials.SharedKeys is not null;
        _context = OpenSsl.NewContext(_end == TlsEnd.Server ? OpenSsl.ServerMethod() : OpenSsl.ClientMethod());
        if (_context == 0)
        {
            throw new TlsCredentialsException("OpenSSL gives no context for TLS");
        }

        try
        {
            SetRules();
            if (_sharesKeys)
            {
                ShareKeys(credentials);
                return;
            }

            SetTrust(credentials);
            SetIdentity(credentials);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Creates a session, whose handshake is still to come.</summary>
    /// <param name="host">For a client with certificates: the name or address that the server's certificate must carry.</param>
    /// <exception cref="TlsCredentialsException">OpenSSL cannot check that name.</exception>
    public TlsSession NewSession(string? host = null)
    {
        ObjectDisposedException.ThrowIf(_context == 0, this);
        var session = OpenSsl.NewSession(_context);
        if (session == 0)
        {
            throw new InsufficientMemoryException("OpenSSL gives no session.");
        }

        try
        {
            if (_end == TlsEnd.Server)
            {
                OpenSsl.SetAcceptState(session);
            }
            else
            {
                OpenSsl.SetConnectState(session);
            }

            if (_end == TlsEnd.Client && !_sharesKeys)
            {
                Expect(session, new TlsHost(host!));
            }
        }
        catch
        {
            OpenSsl.FreeSession(session);
            throw;
        }

        return new TlsSession(session, _end == TlsEnd.Client ? host ?? "" : null, _sharesKeys ? null : _policy);
    }

    public void Dispose()
    {
        var context = Interlocked.Exchange(ref _context, 0);
        if (context == 0)
        {
            return;
        }

        TlsKeyExchange.Detach(context);
        OpenSsl.FreeContext(context); // its sessions hold references of their own
    }

    private static void Expect(nint session, TlsHost host)
    {
        var parameters = OpenSsl.SessionParameters(session);
        var what = $"the name '{host.Name}' to check";
        if (host.IsAddress)
        {
            Check(OpenSsl.ExpectAddress(parameters, host.Name) == 1, what);
            return;
        }

        Check(OpenSsl.ExpectHost(parameters, host.Name, 0) == 1, what);
        Check(OpenSsl.SetHostName(session, OpenSsl.ControlHostName, OpenSsl.HostNameType, host.Name) == 1, what);
    }

    private void SetRules()
    {
        var least = _sharesKeys ? OpenSsl.Tls13 : OpenSsl.Tls12;
        const ulong Options = OpenSsl.NoTicket | OpenSsl.NoCompression | OpenSsl.NoRenegotiation;
        Check(OpenSsl.ControlContext(_context, OpenSsl.ControlMinVersion, least, 0) == 1, "the lowest version of TLS");
        Check((OpenSsl.SetOptions(_context, Options) & Options) == Options, "the options");
        Check(OpenSsl.SetTickets(_context, 0) == 1, "the number of tickets");
        // The call returns the mode that was set before, so the second one shows whether the first has set it.
        _ = OpenSsl.ControlContext(_context, OpenSsl.ControlSessionCache, 0, 0);
        Check(OpenSsl.ControlContext(_context, OpenSsl.ControlSessionCache, 0, 0) == 0, "the session cache's mode");
        var mode = OpenSsl.ControlContext(_context, OpenSsl.ControlMode, OpenSsl.ModePartialAndMovingWrites, 0);
        Check((mode & OpenSsl.ModePartialAndMovingWrites) == OpenSsl.ModePartialAndMovingWrites, "the mode of writing");
    }

    private unsafe void SetTrust(TlsCredentials credentials)
    {
        OpenSsl.SetVerify(_context, OpenSsl.VerifyPeerAndRequire, TlsVerification.Callback);
        var authority = credentials.AuthorityPath!;
        var parameters = OpenSsl.ContextParameters(_context);
        Check(OpenSsl.LoadVerifyFile(_context, authority) == 1, $"'{authority}'");
        var flags = TlsVerification.TrustGiven;
        if (credentials.RevocationPath is { } revocations)
        {
            // Only revocation lists are taken from this file: a certificate in it would otherwise be an authority.
            var lookup = OpenSsl.AddLookup(OpenSsl.CertificateStore(_context), OpenSsl.FileLookup());
            Check(lookup != 0, "a reader for revocation lists");
            Check(OpenSsl.LoadRevocations(lookup, revocations, OpenSsl.FilePem) == credentials.Revocations, $"'{revocations}'");
            flags |= TlsVerification.CheckRevocations;
        }

        Check(OpenSsl.SetVerifyFlags(parameters, flags) == 1, "the flags of verification");
        if (!_policy.RequireExtendedKeyUsage)
        {
            Check(OpenSsl.SetPurpose(parameters, TlsVerification.AnyPurpose) == 1, "the purpose of certificates");
        }

        if (_end != TlsEnd.Server)
        {
            return;
        }

        var names = OpenSsl.LoadAuthorityNames(authority);
        Check(names != 0, $"the names in '{authority}'");
        OpenSsl.SetAuthorityNames(_context, names);
    }

    private void SetIdentity(TlsCredentials credentials)
    {
        if (credentials.CertificatePath is not { } certificate)
        {
            return;
        }

        Check(OpenSsl.UseCertificateChain(_context, certificate) == 1, $"'{certificate}'");
        if (OpenSsl.UsePrivateKey(_context, credentials.KeyPath!, OpenSsl.FilePem) != 1 || OpenSsl.CheckPrivateKey(_context) != 1)
        {
            throw new TlsCredentialsException($"'{credentials.KeyPath}' is not the key of '{certificate}': OpenSSL says {TakeReason()}");
        }
    }

    /// <summary>
    /// A server has no certificate to show, so a client without the key cannot connect. A client verifies certificates as usual but trusts
    /// no authority, so a server without the key cannot show a certificate instead.
    /// </summary>
    private unsafe void ShareKeys(TlsCredentials credentials)
    {
        Check(OpenSsl.SetCipherSuites(_context, SharedKeySuites) == 1, $"the cipher suites {SharedKeySuites}");
        OpenSsl.SetVerify(_context, _end == TlsEnd.Server ? OpenSsl.VerifyNone : OpenSsl.VerifyPeerAndRequire, null);
        TlsKeyExchange.Attach(_context, credentials);
    }

    private static void Check(bool isTaken, string what)
    {
        if (!isTaken)
        {
            throw new TlsCredentialsException($"OpenSSL does not take {what}: {TakeReason()}");
        }
    }

    private static unsafe string TakeReason()
    {
        var reason = Marshal.PtrToStringUTF8((nint)OpenSsl.ReasonText(OpenSsl.TakeError()));
        OpenSsl.ClearErrors();
        return reason ?? "it gives no reason";
    }
}
