using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DataPlane.Transport.Tls;

/// <summary>Reads and checks PEM files, with one clear line for everything that can be wrong with them.</summary>
internal static class TlsFiles
{
    private const string CannotBeRead = "cannot be read";

    internal static X509Certificate2Collection ReadAuthorities(string path, TimeProvider time)
    {
        X509Certificate2Collection found = ReadCertificates(path, time);
        // QEMU refuses to start with such a file; a leaf as authority would accept nobody but itself.
        foreach (X509Certificate2 certificate in found)
        {
            if (certificate.Extensions.OfType<X509BasicConstraintsExtension>().FirstOrDefault() is { CertificateAuthority: false })
                throw new TlsCredentialsException($"'{path}': {certificate.Subject} is not the certificate of an authority");
        }

        return found;
    }

    internal static (X509Certificate2 Certificate, X509Certificate2Collection Chain) ReadCertificate(
        string path, string keyPath, TimeProvider time)
    {
        X509Certificate2Collection chain = ReadCertificates(path, time);
        string key = ReadText(keyPath);
        if (key.Contains("ENCRYPTED", StringComparison.Ordinal))
            throw new TlsCredentialsException($"'{keyPath}': the key is encrypted; it must be readable without a password");
        try
        {
            X509Certificate2 certificate = X509Certificate2.CreateFromPem(ReadText(path), key);
            chain[0].Dispose();
            chain.RemoveAt(0);
            return (certificate, chain);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            string what = PemEncoding.TryFind(key, out _) ? $"is not the key of '{path}'" : "holds no PEM key";
            throw new TlsCredentialsException($"'{keyPath}' {what}", e);
        }
    }

    /// <summary>The list as it will be looked up, checked once.</summary>
    internal static byte[] ReadRevocations(string path)
    {
        try
        {
            string text = ReadText(path);
            PemFields fields = PemEncoding.Find(text);
            byte[] list = Convert.FromBase64String(text[fields.Base64Data]);
            _ = CertificateRevocationListBuilder.Load(list, out _, out _);
            return list;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or FormatException)
        {
            throw new TlsCredentialsException($"'{path}' is not a PEM revocation list", e);
        }
    }

    /// <summary>
    /// Whether <paramref name="certificate"/> stands on the list. The list is a file of this host: its signature proves nothing more.
    /// </summary>
    internal static bool IsRevoked(X509Certificate2 certificate, byte[] list) =>
        CertificateRevocationListBuilder.Load(list, out _, out _).RemoveEntry(certificate.SerialNumberBytes.Span);

    private static X509Certificate2Collection ReadCertificates(string path, TimeProvider time)
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
            throw new TlsCredentialsException($"'{path}' holds no PEM certificate");
        foreach (X509Certificate2 certificate in found)
            CheckTime(path, certificate, time.GetUtcNow().UtcDateTime);
        return found;
    }

    private static void CheckTime(string path, X509Certificate2 certificate, DateTime now)
    {
        if (certificate.NotAfter.ToUniversalTime() < now)
            throw new TlsCredentialsException($"'{path}': {certificate.Subject} expired on {Stamp(certificate.NotAfter)}");
        if (certificate.NotBefore.ToUniversalTime() > now)
            throw new TlsCredentialsException($"'{path}': {certificate.Subject} is not valid before {Stamp(certificate.NotBefore)}");
    }

    private static string Stamp(DateTime time) => $"{time.ToUniversalTime():yyyy-MM-dd HH:mm} UTC";

    private static string ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new TlsCredentialsException($"TLS credentials lack '{path}'", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new TlsCredentialsException($"'{path}' {CannotBeRead}: {e.Message}", e);
        }
    }
}
