using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DataPlane.Transport.Tls;

/// <summary>
/// What one end proves itself with and whom it trusts: a certificate with its key, and the authorities that must have signed the peer's.
/// Both
/// ends of a migration check each other, against these authorities and no others (specification, 1-channels section 1.6).
/// </summary>
/// <remarks>
/// The files are read and checked when this is made; a destination of the library reads the PEM files again at its first handshake, so they
/// stay where they are until then. Immutable; members are thread-safe until it is disposed.
/// </remarks>
public sealed class TlsCredentials : IDisposable
{
    private readonly byte[]? _revocations;
    private readonly Lazy<TlsContext> _context;

    private TlsCredentials(
        TlsEnd end, string? certificate, string? key, string authority, string? revocations, TimeProvider time)
    {
        End = end;
        _context = new Lazy<TlsContext>(() => new TlsContext(this));
        AuthorityPath = authority;
        Authorities = TlsFiles.ReadAuthorities(authority, time);
        RevocationPath = revocations;
        if (revocations is not null)
            _revocations = TlsFiles.ReadRevocations(revocations);
        if (certificate is null || key is null)
            return;
        CertificatePath = certificate;
        KeyPath = key;
        (Certificate, Chain) = TlsFiles.ReadCertificate(certificate, key, time);
    }

    /// <summary>The end they are for.</summary>
    public TlsEnd End { get; }

    /// <summary>
    /// This end's certificate with its private key; a client may have none, and then finds only servers that ask for none.
    /// </summary>
    public X509Certificate2? Certificate { get; }

    /// <summary>Certificates between <see cref="Certificate"/> and its authority, sent to the peer with it.</summary>
    public X509Certificate2Collection Chain { get; } = [];

    /// <summary>Who must have signed the peer's certificate.</summary>
    public X509Certificate2Collection Authorities { get; }

    /// <summary>PEM file of <see cref="Certificate"/> and <see cref="Chain"/>.</summary>
    public string? CertificatePath { get; }

    /// <summary>PEM file of the private key.</summary>
    public string? KeyPath { get; }

    /// <summary>PEM file of <see cref="Authorities"/>.</summary>
    public string AuthorityPath { get; }

    /// <summary>The same for sessions of the system's OpenSSL, where there is one.</summary>
    /// <exception cref="TlsCredentialsException">OpenSSL does not take them.</exception>
    internal TlsContext Context => _context.Value;

    /// <summary>PEM file of the authority's revocation list, where there is one.</summary>
    public string? RevocationPath { get; }

    /// <summary>
    /// Reads a folder in QEMU's layout: <c>ca-cert.pem</c>, <c>server-cert.pem</c> and <c>server-key.pem</c>, or <c>client-cert.pem</c> and
    /// <c>client-key.pem</c> (a client may lack both), and <c>ca-crl.pem</c> if it is there. Other files do not matter.
    /// </summary>
    /// <exception cref="TlsCredentialsException">
    /// A file is missing, unreadable, expired, or the key does not fit the certificate.
    /// </exception>
    public static TlsCredentials FromFolder(string folder, TlsEnd end) => FromFolder(folder, end, TimeProvider.System);

    /// <summary>Takes the PEM files by name.</summary>
    /// <param name="certificate">The certificate, followed by those between it and its authority; only a client may have none.</param>
    /// <param name="key">Its private key, not encrypted.</param>
    /// <param name="authority">One or more certificates of authorities.</param>
    /// <param name="end">Which end they are for.</param>
    /// <exception cref="TlsCredentialsException">
    /// A file is missing, unreadable, expired, or the key does not fit the certificate.
    /// </exception>
    public static TlsCredentials FromFiles(string? certificate, string? key, string? authority, TlsEnd end)
    {
        if (authority is null)
            throw new TlsCredentialsException("TLS needs the certificate of the authority that signed the peer's");
        if (certificate is null != key is null)
            throw new TlsCredentialsException(
                certificate is null ? $"'{key}' is a key without a certificate" : $"'{certificate}' needs its key");
        if (certificate is null && end == TlsEnd.Server)
            throw new TlsCredentialsException("a TLS server needs a certificate and its key");
        return new TlsCredentials(end, certificate, key, authority, null, TimeProvider.System);
    }

    internal static TlsCredentials FromFolder(string folder, TlsEnd end, TimeProvider time)
    {
        if (!Directory.Exists(folder))
            throw new TlsCredentialsException($"no TLS credentials: there is no folder '{folder}'");
        string prefix = end == TlsEnd.Server ? "server" : "client";
        string certificate = Path.Combine(folder, prefix + "-cert.pem");
        string key = Path.Combine(folder, prefix + "-key.pem");
        string revocations = Path.Combine(folder, "ca-crl.pem");
        bool isAnonymous = end == TlsEnd.Client && !File.Exists(certificate) && !File.Exists(key);
        return new TlsCredentials(
            end,
            isAnonymous ? null : certificate,
            isAnonymous ? null : key,
            Path.Combine(folder, "ca-cert.pem"),
            File.Exists(revocations) ? revocations : null,
            time);
    }

    /// <summary>For <see cref="SslStream"/> as the server: the client must show a certificate of the own authorities.</summary>
    /// <param name="protocols">Versions offered; TLS 1.2 and 1.3 by default.</param>
    /// <remarks>
    /// With TLS 1.3 <see cref="SslStream"/> sends session tickets, which a peer that never reads must not get: offer it TLS 1.2 alone
    /// (specification, 1-channels section 1.6).
    /// </remarks>
    /// <exception cref="InvalidOperationException">These are a client's credentials.</exception>
    public SslServerAuthenticationOptions ServerOptions(SslProtocols protocols = SslProtocols.Tls12 | SslProtocols.Tls13)
    {
        Require(TlsEnd.Server);
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = StreamContext(),
            ClientCertificateRequired = true,
            CertificateChainPolicy = Policy("1.3.6.1.5.5.7.3.2"),
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            RemoteCertificateValidationCallback = Callback(),
            EnabledSslProtocols = protocols,
            AllowRenegotiation = false,
            AllowTlsResume = false,
        };
    }

    /// <summary>For <see cref="SslStream"/> as the client.</summary>
    /// <param name="host">Name or IP address that the server's certificate must carry.</param>
    /// <exception cref="InvalidOperationException">These are a server's credentials.</exception>
    public SslClientAuthenticationOptions ClientOptions(string host)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        Require(TlsEnd.Client);
        return new SslClientAuthenticationOptions
        {
            TargetHost = host,
            ClientCertificateContext = Certificate is null ? null : StreamContext(),
            CertificateChainPolicy = Policy("1.3.6.1.5.5.7.3.1"),
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            RemoteCertificateValidationCallback = Callback(),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            AllowRenegotiation = false,
            AllowTlsResume = false,
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_context.IsValueCreated)
            _context.Value.Dispose();
        Certificate?.Dispose();
        foreach (X509Certificate2 certificate in Chain.Concat(Authorities))
            certificate.Dispose();
    }

    private void Require(TlsEnd end)
    {
        if (End != end)
            throw new InvalidOperationException($"These are a {End}'s TLS credentials, not a {end}'s.");
    }

    private SslStreamCertificateContext StreamContext() => SslStreamCertificateContext.Create(Certificate!, Chain, offline: true);

    private X509ChainPolicy Policy(string purpose)
    {
        X509ChainPolicy policy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // the list of the folder is looked at by the callback, nothing is fetched
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(Authorities);
        policy.ApplicationPolicy.Add(new Oid(purpose));
        return policy;
    }

    /// <summary>Without a revocation list none, because SslStream's own message says more than that a callback refused.</summary>
    private RemoteCertificateValidationCallback? Callback() => _revocations is null ? null : (_, certificate, chain, errors) =>
    {
        if (errors != SslPolicyErrors.None)
            throw new AuthenticationException($"The peer's certificate is not valid: {Explain(chain, errors)}.");
        return certificate is X509Certificate2 peer && !TlsFiles.IsRevoked(peer, _revocations)
            ? true : throw new AuthenticationException("The peer's certificate has been revoked.");
    };

    private static string Explain(X509Chain? chain, SslPolicyErrors errors) =>
        chain is null || !errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors)
            ? errors.ToString()
            : string.Join(", ", chain.ChainStatus.Select(status => status.Status));
}
