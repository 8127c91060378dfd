using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace DataPlane.Transport.Tls;

/// <summary>Reads and checks PEM files, with one clear line for each fault that they can have.</summary>
internal static class TlsFiles
{
    private const string CannotBeRead = "cannot be read";
    private const int MaxFileBytes = 16 << 20;

    private const string Rsa = "1.2.840.113549.1.1.1";
    private const string Ecdsa = "1.2.840.10045.2.1";
    private const string RsaPss = "1.2.840.113549.1.1.10";
    private const string Ed25519 = "1.3.101.112";
    private const string Ed448 = "1.3.101.113";

    /// <summary>
    /// Reads certificates of authorities. One that has expired is harmless beside a good one, because nobody whom it has signed is let in;
    /// it is an error when none is valid now.
    /// </summary>
    public static X509Certificate2Collection ReadAuthorities(string path, TimeProvider time)
    {
        var found = ReadCertificates(path);
        // QEMU refuses to start with such a file: a leaf as authority would accept nobody but itself.
        foreach (var certificate in found)
        {
            if (certificate.Extensions.OfType<X509BasicConstraintsExtension>().FirstOrDefault() is { CertificateAuthority: false })
            {
                throw new TlsCredentialsException($"'{path}': {certificate.Subject} is not the certificate of an authority");
            }
        }

        var now = time.GetUtcNow().UtcDateTime;
        if (found.All(certificate => !IsTimely(certificate, now)))
        {
            CheckTime(path, found[0], now);
        }

        return found;
    }

    public static (X509Certificate2 Certificate, X509Certificate2Collection Chain) ReadCertificate(
        string path, string keyPath, TimeProvider time)
    {
        var chain = ReadCertificates(path);
        foreach (var certificate in chain)
        {
            CheckTime(path, certificate, time.GetUtcNow().UtcDateTime);
        }

        var leaf = chain[0];
        chain.RemoveAt(0);
        return (WithKey(leaf, path, keyPath), chain);
    }

    /// <summary>Reads every revocation list of a file, and returns their number, which is at least 1.</summary>
    public static int CountRevocations(string path)
    {
        ReadOnlySpan<char> text = ReadText(path);
        var count = 0;
        try
        {
            while (PemEncoding.TryFind(text, out var fields))
            {
                if (text[fields.Label] is "X509 CRL")
                {
                    _ = CertificateRevocationListBuilder.Load(Convert.FromBase64String(text[fields.Base64Data].ToString()), out _, out _);
                    count++;
                }

                text = text[fields.Location.End..];
            }
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or FormatException)
        {
            throw new TlsCredentialsException($"'{path}': revocation list {count + 1} {CannotBeRead}", e);
        }

        return count > 0 ? count : throw new TlsCredentialsException($"'{path}' holds no PEM revocation list");
    }

    /// <summary>What is wrong with the permissions of a file of secrets; null when nothing is, or when that cannot be found out.</summary>
    public static string? FindExposure(string path)
    {
        try
        {
            var mode = OperatingSystem.IsWindows() ? UnixFileMode.None : File.GetUnixFileMode(path);
            return (mode & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite)) == 0 ? null
                : $"'{path}' can be {((mode & UnixFileMode.OtherRead) == 0 ? "written" : "read")} "
                    + "by every user of this machine: chmod o= it";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null; // it was read a moment ago
        }
    }

    /// <summary>Reads a text of <paramref name="maxBytes"/> bytes at most: a file of secrets or certificates is small.</summary>
    public static string ReadText(string path, int maxBytes = MaxFileBytes)
    {
        try
        {
            using var file = File.OpenRead(path);
            var bytes = new byte[maxBytes + 1];
            var count = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            if (count > maxBytes)
            {
                throw new TlsCredentialsException($"'{path}' has more than {maxBytes} bytes");
            }

            var text = Encoding.UTF8.GetString(bytes, 0, count);
            CryptographicOperations.ZeroMemory(bytes);
            return text;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new TlsCredentialsException($"TLS credentials lack '{path}'", e);
        }
        catch (Exception e) when (e is (IOException and not TlsCredentialsException) or UnauthorizedAccessException)
        {
            throw new TlsCredentialsException($"'{path}' {CannotBeRead}: {e.Message}", e);
        }
    }

    /// <summary>
    /// The certificate with its private key, where the runtime knows the kind of key. For other kinds, OpenSSL alone checks whether the key
    /// is that of the certificate.
    /// </summary>
    private static X509Certificate2 WithKey(X509Certificate2 leaf, string path, string keyPath)
    {
        var key = ReadText(keyPath);
        if (key.Contains("ENCRYPTED", StringComparison.Ordinal))
        {
            throw new TlsCredentialsException($"'{keyPath}': the key is encrypted; it must be readable without a password");
        }

        if (!PemEncoding.TryFind(key, out _))
        {
            throw new TlsCredentialsException($"'{keyPath}' holds no PEM key");
        }

        var kind = leaf.PublicKey.Oid;
        switch (kind.Value)
        {
            case Ed25519 or Ed448 or RsaPss:
                return leaf;
            case Rsa or Ecdsa:
                break;
            default:
                var name = kind.FriendlyName is { Length: > 0 } known ? known : kind.Value ?? "unknown";
                throw new TlsCredentialsException(
                    $"'{path}': TLS cannot use a key of the type {name}; RSA, RSA-PSS, ECDSA, Ed25519 and Ed448 can be used");
        }

        try
        {
            var whole = X509Certificate2.CreateFromPem(leaf.ExportCertificatePem(), key);
            leaf.Dispose();
            return whole;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new TlsCredentialsException($"'{keyPath}' is not the key of '{path}'", e);
        }
    }

    private static X509Certificate2Collection ReadCertificates(string path)
    {
        X509Certificate2Collection found = [];
        try
        {
            found.ImportFromPem(ReadText(path));
        }
        catch (CryptographicException e)
        {
            throw new TlsCredentialsException($"'{path}' {CannotBeRead} as PEM certificates", e);
        }

        if (found.Count == 0)
        {
            throw new TlsCredentialsException($"'{path}' holds no PEM certificate");
        }

        return found;
    }

    private static void CheckTime(string path, X509Certificate2 certificate, DateTime now)
    {
        if (certificate.NotAfter.ToUniversalTime() < now)
        {
            throw new TlsCredentialsException($"'{path}': {certificate.Subject} expired on {Stamp(certificate.NotAfter)}");
        }

        if (certificate.NotBefore.ToUniversalTime() > now)
        {
            throw new TlsCredentialsException($"'{path}': {certificate.Subject} is not valid before {Stamp(certificate.NotBefore)}");
        }
    }

    private static bool IsTimely(X509Certificate2 certificate, DateTime now) =>
        certificate.NotAfter.ToUniversalTime() >= now && certificate.NotBefore.ToUniversalTime() <= now;

    private static string Stamp(DateTime time) => $"{time.ToUniversalTime():yyyy-MM-dd HH:mm} UTC";
}
