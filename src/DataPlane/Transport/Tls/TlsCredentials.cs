using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DataPlane.Transport.Tls;

namespace DataPlane;

/// <summary>
/// What one end of a TLS session proves itself with, and whom it trusts: a certificate with its key and the authorities that must have
/// signed the peer's, or keys that both ends share. Both ends of a migration verify each other against these and no others (specification,
/// 1-channels section 1.6).
/// </summary>
/// <remarks>
/// The files are read and checked when this is made, and not again. Immutable; members are thread-safe until it is disposed of.
/// </remarks>
public sealed class TlsCredentials : IDisposable
{
    private readonly TlsContext? _context;

    private TlsCredentials(
        TlsEnd end, string? certificate, string? key, string authority, string? revocations, TlsPeerPolicy? policy, TimeProvider time)
    {
        End = end;
        Policy = policy ?? new TlsPeerPolicy();
        AuthorityPath = authority;
        Authorities = TlsFiles.ReadAuthorities(authority, time);
        RevocationPath = revocations;
        if (revocations is not null)
        {
            Revocations = TlsFiles.CountRevocations(revocations);
        }

        if (certificate is not null && key is not null)
        {
            CertificatePath = certificate;
            KeyPath = key;
            (Certificate, Chain) = TlsFiles.ReadCertificate(certificate, key, time);
            KeyWarning = TlsFiles.FindExposure(key);
        }

        _context = OpenSsl.IsInstalled ? new TlsContext(this) : null;
    }

    private TlsCredentials(TlsEnd end, TlsSharedKeys keys, string? user, TlsPeerPolicy? policy)
    {
        End = end;
        Policy = policy ?? new TlsPeerPolicy();
        SharedKeys = keys;
        KeyPath = keys.Path;
        KeyWarning = TlsFiles.FindExposure(keys.Path);
        User = user;
        if (!OpenSsl.IsInstalled)
        {
            throw new TlsCredentialsException($"'{keys.Path}': TLS with shared keys needs OpenSSL 3 (libssl.so.3)");
        }

        _context = new TlsContext(this);
    }

    /// <summary>The end that the credentials are for.</summary>
    public TlsEnd End { get; }

    /// <summary>
    /// The certificate of this end; <see langword="null"/> where keys are shared, and for a client without one, which only a server accepts
    /// that asks for none. Its private key is with it for RSA and ECDSA; the runtime knows no other kind of key, but OpenSSL does (RSA-PSS,
    /// Ed25519, Ed448).
    /// </summary>
    public X509Certificate2? Certificate { get; }

    /// <summary>The certificates between <see cref="Certificate"/> and its authority, which are sent to the peer with it.</summary>
    public X509Certificate2Collection Chain { get; } = [];

    /// <summary>The authorities, one of which must have signed the peer's certificate; empty where keys are shared.</summary>
    public X509Certificate2Collection Authorities { get; } = [];

    /// <summary>
    /// PEM file of <see cref="Certificate"/> and <see cref="Chain"/>; <see langword="null"/> where there is no certificate.
    /// </summary>
    public string? CertificatePath { get; }

    /// <summary>PEM file of the private key, or the file of shared keys; <see langword="null"/> where there is neither.</summary>
    public string? KeyPath { get; }

    /// <summary>PEM file of <see cref="Authorities"/>; <see langword="null"/> where keys are shared.</summary>
    public string? AuthorityPath { get; }

    /// <summary>PEM file of the authorities' revocation lists; <see langword="null"/> where there is none.</summary>
    public string? RevocationPath { get; }

    /// <summary>The user of a client with shared keys, by whose key the server knows it; <see langword="null"/> for all others.</summary>
    public string? User { get; }

    /// <summary>
    /// One line that tells who else can read or change the file of the key, as it was when the file was read; <see langword="null"/> when
    /// nobody outside its owner and group can.
    /// </summary>
    public string? KeyWarning { get; }

    /// <summary>The rules that decide who is let in of those whose certificate or key is good.</summary>
    public TlsPeerPolicy Policy { get; }

    /// <summary>The keys that both ends share; null where certificates are used.</summary>
    internal TlsSharedKeys? SharedKeys { get; }

    /// <summary>The number of lists in <see cref="RevocationPath"/>.</summary>
    internal int Revocations { get; }

    /// <summary>The context from which the system's OpenSSL makes sessions with these credentials.</summary>
    /// <exception cref="TlsCredentialsException">This system has no OpenSSL 3.</exception>
    internal TlsContext Context => _context ?? throw new TlsCredentialsException("OpenSSL 3 (libssl.so.3) is not on this system");

    /// <summary>
    /// Reads a folder in QEMU's layout: <c>ca-cert.pem</c>, <c>server-cert.pem</c> and <c>server-key.pem</c>, or <c>client-cert.pem</c> and
    /// <c>client-key.pem</c> (a client may lack both), and <c>ca-crl.pem</c> if it is there. Other files are ignored.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <param name="end">Which end they are for.</param>
    /// <param name="policy">Who is let in of those whose certificate is good; by default all.</param>
    /// <exception cref="TlsCredentialsException">
    /// A file is missing, unreadable, expired, has a kind of key that TLS cannot use, or the key does not fit the certificate.
    /// </exception>
    public static TlsCredentials FromFolder(string folder, TlsEnd end, TlsPeerPolicy? policy = null) =>
        FromFolder(folder, end, TimeProvider.System, policy);

    /// <summary>
    /// Reads keys that both ends share from a file of QEMU's <c>tls-creds-psk</c> (<c>keys.psk</c>): a line <c>user:key</c> for each user,
    /// the key in hexadecimal. TLS is 1.3 only, so that a key that becomes known later does not open earlier sessions. Needs OpenSSL 3.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="end">Which end they are for: a server lets in every user of the file whom the policy allows.</param>
    /// <param name="user">The user of a client; "qemu" by default, as in QEMU. Must be null for a server.</param>
    /// <param name="policy">Which users are let in; by default all.</param>
    /// <exception cref="TlsCredentialsException">
    /// The file is missing or unreadable, has a line that is no key, or lacks the user; or OpenSSL 3 is missing.
    /// </exception>
    /// <exception cref="ArgumentException">A server was given a user.</exception>
    public static TlsCredentials FromSharedKeys(string path, TlsEnd end, string? user = null, TlsPeerPolicy? policy = null)
    {
        var keys = TlsSharedKeys.Read(path);
        if (end == TlsEnd.Server)
        {
            return user is null ? new TlsCredentials(end, keys, null, policy)
                : throw new ArgumentException("A server has no user of its own.", nameof(user));
        }

        user ??= TlsSharedKeys.DefaultUser;
        return keys.Find(user) is not null ? new TlsCredentials(end, keys, user, policy)
            : throw new TlsCredentialsException($"'{path}' holds no key of the user '{user}'");
    }

    /// <summary>Reads the PEM files with the given paths.</summary>
    /// <param name="certificate">
    /// The certificate, followed by those between it and its authority; null, together with its key, for a client without one.
    /// </param>
    /// <param name="key">The private key of the certificate, not encrypted.</param>
    /// <param name="authority">One or more certificates of authorities; required.</param>
    /// <param name="end">Which end they are for.</param>
    /// <param name="revocations">
    /// One or more lists of revoked certificates; by default revocation is not checked. If there are any, one must be of the authority that
    /// signed the peer's own certificate, or the peer is refused.
    /// </param>
    /// <param name="policy">Who is let in of those whose certificate is good; by default all.</param>
    /// <exception cref="TlsCredentialsException">
    /// A file is missing, unreadable, expired, has a kind of key that TLS cannot use, or the key does not fit the certificate; or a path
    /// that is required was not given.
    /// </exception>
    public static TlsCredentials FromFiles(
        string? certificate, string? key, string? authority, TlsEnd end, string? revocations = null, TlsPeerPolicy? policy = null)
    {
        if (authority is null)
        {
            throw new TlsCredentialsException("TLS needs the certificate of the authority that signed the peer's");
        }

        if (certificate is null != key is null)
        {
            throw new TlsCredentialsException(
                certificate is null ? $"'{key}' is a key without a certificate" : $"'{certificate}' needs its key");
        }

        if (certificate is null && end == TlsEnd.Server)
        {
            throw new TlsCredentialsException("a TLS server needs a certificate and its key");
        }

        return new TlsCredentials(end, certificate, key, authority, revocations, policy, TimeProvider.System);
    }

    internal static TlsCredentials FromFolder(string folder, TlsEnd end, TimeProvider time, TlsPeerPolicy? policy = null)
    {
        if (!Directory.Exists(folder))
        {
            throw new TlsCredentialsException($"no TLS credentials: there is no folder '{folder}'");
        }

        var prefix = end == TlsEnd.Server ? "server" : "client";
        var certificate = Path.Combine(folder, prefix + "-cert.pem");
        var key = Path.Combine(folder, prefix + "-key.pem");
        var revocations = Path.Combine(folder, "ca-crl.pem");
        var isAnonymous = end == TlsEnd.Client && !File.Exists(certificate) && !File.Exists(key);
        return new TlsCredentials(
            end,
            isAnonymous ? null : certificate,
            isAnonymous ? null : key,
            Path.Combine(folder, "ca-cert.pem"),
            File.Exists(revocations) ? revocations : null,
            policy,
            time);
    }

    /// <summary>
    /// Options for <see cref="SslStream"/> as the server: the client must show a certificate that one of <see cref="Authorities"/> has
    /// signed.
    /// </summary>
    /// <param name="protocols">Versions offered; TLS 1.2 and 1.3 by default.</param>
    /// <remarks>
    /// With TLS 1.3 <see cref="SslStream"/> sends session tickets, which a peer that never reads must not get. Offer such a peer TLS 1.2
    /// alone (specification, 1-channels section 1.6).
    /// </remarks>
    /// <exception cref="InvalidOperationException">These are a client's credentials.</exception>
    /// <exception cref="TlsCredentialsException">
    /// The credentials need what the runtime's TLS cannot do: revocation lists, allowed names, shared keys, or other keys than RSA and
    /// ECDSA.
    /// </exception>
    internal SslServerAuthenticationOptions ServerOptions(SslProtocols protocols = SslProtocols.Tls12 | SslProtocols.Tls13)
    {
        Require(TlsEnd.Server);
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = StreamContext(),
            ClientCertificateRequired = true,
            CertificateChainPolicy = ChainPolicy("1.3.6.1.5.5.7.3.2"),
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            EnabledSslProtocols = protocols,
            AllowRenegotiation = false,
            AllowTlsResume = false,
        };
    }

    /// <summary>Options for <see cref="SslStream"/> as the client.</summary>
    /// <param name="host">Name or IP address that the server's certificate must carry.</param>
    /// <exception cref="InvalidOperationException">These are a server's credentials.</exception>
    /// <exception cref="TlsCredentialsException">
    /// The credentials need what the runtime's TLS cannot do: revocation lists, allowed names, shared keys, or other keys than RSA and
    /// ECDSA.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="host"/> is empty, or no name that a certificate can have.</exception>
    internal SslClientAuthenticationOptions ClientOptions(string host)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        Require(TlsEnd.Client);
        return new SslClientAuthenticationOptions
        {
            TargetHost = new TlsHost(host).Name,
            ClientCertificateContext = Certificate is null ? null : StreamContext(),
            CertificateChainPolicy = ChainPolicy("1.3.6.1.5.5.7.3.1"),
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            AllowRenegotiation = false,
            AllowTlsResume = false,
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _context?.Dispose();
        Certificate?.Dispose();
        foreach (var certificate in Chain.Concat(Authorities))
        {
            certificate.Dispose();
        }
    }

    private void Require(TlsEnd end)
    {
        if (End != end)
        {
            throw new InvalidOperationException($"These are a {End}'s TLS credentials, not a {end}'s.");
        }
        // Fail here rather than let somebody in whom OpenSSL would keep out.
        var missing = SharedKeys is not null ? "shared keys"
            : RevocationPath is not null ? $"the revocation lists of '{RevocationPath}'"
            : Policy.AllowedNames.Count > 0 ? "allowed names"
            : Certificate is { HasPrivateKey: false } ? $"the kind of key of '{CertificatePath}'"
            : null;
        if (missing is not null)
        {
            throw new TlsCredentialsException($"the runtime's TLS does not know {missing}: OpenSSL 3 (libssl.so.3) is needed");
        }
    }

    private SslStreamCertificateContext StreamContext() => SslStreamCertificateContext.Create(Certificate!, Chain, offline: true);

    private X509ChainPolicy ChainPolicy(string purpose)
    {
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // only OpenSSL checks lists, and nothing is fetched
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(Authorities);
        if (Policy.RequireExtendedKeyUsage)
        {
            policy.ApplicationPolicy.Add(new Oid(purpose));
        }

        return policy;
    }
}

/// <summary>Which end of the TLS sessions credentials are for. A migration's source is the client, its destination the server.</summary>
public enum TlsEnd
{
    /// <summary>The end that accepts connections: the destination.</summary>
    Server,

    /// <summary>The end that connects: the source.</summary>
    Client,
}

/// <summary>Certificates or keys cannot be used. The message is one line with the file and what is wrong with it.</summary>
public sealed class TlsCredentialsException : IOException
{
    internal TlsCredentialsException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
