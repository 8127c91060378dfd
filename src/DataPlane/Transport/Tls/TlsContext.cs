using System.Net;
using System.Runtime.InteropServices;

namespace DataPlane.Transport.Tls;

/// <summary>
/// What all sessions of one end share: its certificate, whom it trusts, and the rules. TLS 1.2 at least, no tickets (a peer that never
/// reads
/// must not get any), no resumption, no renegotiation, both ends verified.
/// </summary>
internal sealed class TlsContext : IDisposable
{
    private const nuint CheckRevocation = 0x4;  // X509_V_FLAG_CRL_CHECK
    private const nuint TrustGiven = 0x80000;   // X509_V_FLAG_PARTIAL_CHAIN: an authority of ours need not be a root

    private readonly TlsEnd _end;
    private nint _context;

    /// <exception cref="TlsCredentialsException">OpenSSL does not take them; the message says which file.</exception>
    internal TlsContext(TlsCredentials credentials)
    {
        _end = credentials.End;
        _context = OpenSsl.NewContext(_end == TlsEnd.Server ? OpenSsl.ServerMethod() : OpenSsl.ClientMethod());
        if (_context == 0)
            throw new TlsCredentialsException("OpenSSL gives no context for TLS");
        try
        {
            SetRules();
            SetTrust(credentials);
            SetIdentity(credentials);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>A session before its handshake.</summary>
    /// <param name="host">For a client: the name or address that the server's certificate must carry.</param>
    internal TlsSession NewSession(string? host = null)
    {
        ObjectDisposedException.ThrowIf(_context == 0, this);
        nint session = OpenSsl.NewSession(_context);
        if (session == 0)
            throw new InsufficientMemoryException("OpenSSL gives no session.");
        if (_end == TlsEnd.Server)
        {
            OpenSsl.SetAcceptState(session);
            return new TlsSession(session, null);
        }

        OpenSsl.SetConnectState(session);
        nint parameters = OpenSsl.SessionParameters(session);
        if (IPAddress.TryParse(host, out IPAddress? address))
        {
            _ = OpenSsl.ExpectAddress(parameters, address.ToString());
        }
        else
        {
            _ = OpenSsl.ExpectHost(parameters, host!, 0);
            _ = OpenSsl.SetHostName(session, OpenSsl.ControlHostName, OpenSsl.HostNameType, host!);
        }

        return new TlsSession(session, host);
    }

    public void Dispose()
    {
        nint context = Interlocked.Exchange(ref _context, 0);
        if (context != 0)
            OpenSsl.FreeContext(context); // its sessions hold references of their own
    }

    private void SetRules()
    {
        _ = OpenSsl.ControlContext(_context, OpenSsl.ControlMinVersion, OpenSsl.Tls12, 0);
        _ = OpenSsl.SetOptions(_context, OpenSsl.NoTicket | OpenSsl.NoCompression | OpenSsl.NoRenegotiation);
        _ = OpenSsl.SetTickets(_context, 0);
        _ = OpenSsl.ControlContext(_context, OpenSsl.ControlSessionCache, 0, 0);
        _ = OpenSsl.ControlContext(_context, OpenSsl.ControlMode, OpenSsl.ModePartialAndMovingWrites, 0);
    }

    private void SetTrust(TlsCredentials credentials)
    {
        OpenSsl.SetVerify(_context, OpenSsl.VerifyPeerAndRequire, 0);
        nuint flags = TrustGiven;
        Check(OpenSsl.LoadVerifyFile(_context, credentials.AuthorityPath), credentials.AuthorityPath);
        if (credentials.RevocationPath is { } revocations)
        {
            Check(OpenSsl.LoadVerifyFile(_context, revocations), revocations);
            flags |= CheckRevocation;
        }

        _ = OpenSsl.SetVerifyFlags(OpenSsl.ContextParameters(_context), flags);
        if (_end == TlsEnd.Server)
            OpenSsl.SetAuthorityNames(_context, OpenSsl.LoadAuthorityNames(credentials.AuthorityPath));
    }

    private void SetIdentity(TlsCredentials credentials)
    {
        if (credentials.CertificatePath is null)
            return;
        Check(OpenSsl.UseCertificateChain(_context, credentials.CertificatePath), credentials.CertificatePath);
        Check(OpenSsl.UsePrivateKey(_context, credentials.KeyPath!, OpenSsl.FilePem), credentials.KeyPath!);
    }

    private static unsafe void Check(int result, string path)
    {
        if (result == 1)
            return;
        string? reason = Marshal.PtrToStringUTF8((nint)OpenSsl.ReasonText(OpenSsl.TakeError()));
        OpenSsl.ClearErrors();
        throw new TlsCredentialsException($"OpenSSL does not take '{path}': {reason}");
    }
}
