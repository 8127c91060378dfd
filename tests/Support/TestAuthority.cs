using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DataPlane.TestSupport;

/// <summary>A certificate authority for one test: makes folders in QEMU's layout, good ones and ones with a fault.</summary>
internal sealed class TestAuthority : IDisposable
{
    internal const string HostName = "vm.example";

    private readonly DirectoryInfo _root = Directory.CreateTempSubdirectory("dataplane-tls-");
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _certificate;
    private readonly DateTimeOffset _now = DateTimeOffset.UtcNow;
    private readonly TestAuthority? _issuer;

    internal TestAuthority(string name = "Test authority")
    {
        CertificateRequest request = new($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        _certificate = request.CreateSelfSigned(_now.AddDays(-30), _now.AddDays(30));
        Folder = NewFolder("good");
    }

    /// <summary>Between <paramref name="issuer"/>, which is the one that peers know, and its own certificates.</summary>
    internal TestAuthority(string name, TestAuthority issuer)
    {
        _issuer = issuer;
        CertificateRequest request = new($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(issuer._certificate, true, false));
        using var issued = request.Create(issuer._certificate, _now.AddDays(-20), _now.AddDays(20), [1, 2, 3, 4]);
        _certificate = issued.CopyWithPrivateKey(_key);
        Folder = NewFolder("good");
    }

    /// <summary>This authority's certificate, PEM.</summary>
    internal string Pem => _certificate.ExportCertificatePem();

    /// <summary>Certificates of both ends for 127.0.0.1, ::1, localhost and <see cref="HostName"/>.</summary>
    internal string Folder { get; }

    /// <summary>The certificate of an authority whose time is over, PEM.</summary>
    internal static string ExpiredPem()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new("CN=Authority of yesterday", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var expired = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-30), DateTimeOffset.UtcNow.AddDays(-1));
        return expired.ExportCertificatePem();
    }

    public void Dispose()
    {
        _certificate.Dispose();
        _key.Dispose();
        _root.Delete(recursive: true);
    }

    /// <summary>
    /// A folder with certificates of both ends, valid from <paramref name="from"/> to <paramref name="to"/> days from now.
    /// </summary>
    internal string NewFolder(string name, int from = -1, int to = 20, string host = HostName, bool addresses = true,
        bool swapsPurposes = false)
    {
        var folder = _root.CreateSubdirectory(name).FullName;
        File.WriteAllText(Path.Combine(folder, "ca-cert.pem"), (_issuer ?? this).Pem);
        Issue(folder, "server", swapsPurposes ? "1.3.6.1.5.5.7.3.2" : "1.3.6.1.5.5.7.3.1", from, to, host, addresses);
        Issue(folder, "client", swapsPurposes ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2", from, to, host, addresses);
        return folder;
    }

    /// <summary>
    /// Writes the list of this authority that revokes the certificate in <paramref name="certificatePath"/> into <paramref name="folder"/>.
    /// </summary>
    internal void Revoke(string folder, string certificatePath) =>
        File.WriteAllText(Path.Combine(folder, "ca-crl.pem"), NewList(certificatePath));

    /// <summary>A list of this authority, PEM, with a new line after it, that revokes one certificate or none.</summary>
    internal string NewList(string? certificatePath = null, int expires = 10)
    {
        CertificateRevocationListBuilder list = new();
        if (certificatePath is not null)
        {
            using var revoked = X509CertificateLoader.LoadCertificateFromFile(certificatePath);
            list.AddEntry(revoked);
        }

        var der = list.Build(_certificate, 1, _now.AddDays(expires), HashAlgorithmName.SHA256, thisUpdate: _now.AddDays(-15));
        return PemEncoding.WriteString("X509 CRL", der) + "\n";
    }

    /// <summary>A certificate over any subject public key info, PEM.</summary>
    internal string Certify(ReadOnlySpan<byte> publicKey)
    {
        CertificateRequest request = new(
            new X500DistinguishedName("CN=any key"), PublicKey.CreateFromSubjectPublicKeyInfo(publicKey, out _), HashAlgorithmName.SHA256);
        using var issued = request.Create(
            _certificate.SubjectName, X509SignatureGenerator.CreateForECDsa(_key), _now.AddDays(-1), _now.AddDays(20), [7]);
        return issued.ExportCertificatePem();
    }

    private void Issue(string folder, string end, string purpose, int from, int to, string host, bool addresses)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new($"CN={end} of a test", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(
            new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyEncipherment, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_certificate, true, false));
        SubjectAlternativeNameBuilder names = new();
        names.AddDnsName(host);
        if (addresses)
        {
            names.AddDnsName("localhost");
            names.AddIpAddress(IPAddress.Loopback);
            names.AddIpAddress(IPAddress.IPv6Loopback);
        }

        request.CertificateExtensions.Add(names.Build());
        Span<byte> serial = stackalloc byte[12];
        RandomNumberGenerator.Fill(serial);
        serial[0] &= 0x7F;
        using var issued = request.Create(_certificate, _now.AddDays(from), _now.AddDays(to), serial);
        File.WriteAllText(Path.Combine(folder, end + "-cert.pem"), issued.ExportCertificatePem() + "\n" + (_issuer is null ? "" : Pem));
        var keyPath = Path.Combine(folder, end + "-key.pem");
        File.WriteAllText(keyPath, key.ExportPkcs8PrivateKeyPem());
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(keyPath, UnixFileMode.UserRead | UnixFileMode.UserWrite); // a key that all can read is warned of
        }
    }
}
