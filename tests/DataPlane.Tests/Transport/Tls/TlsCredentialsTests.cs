using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Transport.Tls;

public sealed class TlsCredentialsTests : IDisposable
{
    private readonly TestAuthority _authority = new();

    public void Dispose() => _authority.Dispose();

    [Theory]
    [InlineData(TlsEnd.Server, "server")]
    [InlineData(TlsEnd.Client, "client")]
    public void A_folder_in_QEMUs_layout_is_taken_as_it_is(TlsEnd end, string prefix)
    {
        using var credentials = TlsCredentials.FromFolder(_authority.Folder, end);

        Assert.True(credentials.Certificate!.HasPrivateKey);
        Assert.Equal($"CN={prefix} of a test", credentials.Certificate.Subject);
        Assert.Equal("CN=Test authority", Assert.Single(credentials.Authorities).Subject);
        Assert.Equal(Path.Combine(_authority.Folder, prefix + "-cert.pem"), credentials.CertificatePath);
        Assert.Null(credentials.RevocationPath);
    }

    [Fact]
    public void A_client_may_have_no_certificate_a_server_may_not()
    {
        foreach (var name in new[] { "server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem" })
        {
            File.Delete(Path.Combine(_authority.Folder, name));
        }

        using (var client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client))
        {
            Assert.Null(client.Certificate);
        }

        Assert.Contains("server-cert.pem", Refusal(TlsEnd.Server), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ca-cert.pem", null, "lack")]
    [InlineData("server-cert.pem", null, "lack")]
    [InlineData("server-key.pem", null, "lack")]
    [InlineData("server-key.pem", "", "holds no PEM key")]
    [InlineData("server-key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted")]
    [InlineData("server-cert.pem", "nothing", "holds no PEM certificate")]
    [InlineData("ca-cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read")]
    [InlineData("ca-crl.pem", "nothing", "revocation list")]
    [InlineData("ca-crl.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "revocation list 1")]
    public void A_file_that_cannot_be_used_is_named(string file, string? content, string says)
    {
        var path = Path.Combine(_authority.Folder, file);
        if (content is null)
        {
            File.Delete(path);
        }
        else
        {
            File.WriteAllText(path, content);
        }

        var message = Refusal(TlsEnd.Server);

        Assert.Contains(path, message, StringComparison.Ordinal);
        Assert.Contains(says, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void A_key_of_another_certificate_does_not_fit()
    {
        File.Copy(Path.Combine(_authority.Folder, "client-key.pem"), Path.Combine(_authority.Folder, "server-key.pem"), overwrite: true);

        Assert.Contains("is not the key of", Refusal(TlsEnd.Server), StringComparison.Ordinal);
    }

    /// <summary>
    /// By their subject public keys: one is for encryption alone, the other has no signature in TLS 1.2 or 1.3 (RFC 8446, 4.2.3).
    /// </summary>
    [Theory]
    [InlineData("302A300506032B656E0321001DB2A2D4F1A7CE86F5C46A9D7B0C3E2F48596A7B8C9DAEBFC0D1E2F304152637", "X25519|1.3.101.110")]
    [InlineData("301E301806072A8648CE380401300D020500FFFFFFFB02010302010403020002", "DSA")]
    public void A_kind_of_key_that_TLS_cannot_use_is_named(string publicKey, string name)
    {
        var path = Path.Combine(_authority.Folder, "server-cert.pem");
        File.WriteAllText(path, _authority.Certify(Convert.FromHexString(publicKey)));

        var message = Refusal(TlsEnd.Server);

        Assert.StartsWith($"'{path}': TLS cannot use a key of the type ", message, StringComparison.Ordinal);
        // The name that OpenSSL has for it, if it has one.
        Assert.Contains(name.Split('|'), known => message.Contains($" {known};", StringComparison.Ordinal));
        Assert.Contains("RSA, RSA-PSS, ECDSA, Ed25519 and Ed448 can be used", message, StringComparison.Ordinal);
    }

    [Theory]
    [System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
    [InlineData("600", null)]
    [InlineData("640", null)]
    [InlineData("644", "can be read by every user")]
    [InlineData("602", "can be written by every user")]
    public void A_key_that_everybody_can_get_at_is_warned_of(string mode, string? says)
    {
        var path = Path.Combine(_authority.Folder, "server-key.pem");
        File.SetUnixFileMode(path, (UnixFileMode)Convert.ToInt32(mode, 8));
        var shared = Path.Combine(_authority.Folder, "keys.psk");
        File.WriteAllText(shared, "qemu:0011");
        File.SetUnixFileMode(shared, (UnixFileMode)Convert.ToInt32(mode, 8));

        using var certificate = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        using var keys = TlsCredentials.FromSharedKeys(shared, TlsEnd.Server);

        foreach ((var file, var warning) in ((string, string?)[])[(path, certificate.KeyWarning), (shared, keys.KeyWarning)])
        {
            if (says is null)
            {
                Assert.Null(warning);
            }
            else
            {
                Assert.StartsWith($"'{file}' {says}", warning, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData(-10, -1, "expired on")]
    [InlineData(1, 10, "is not valid before")]
    public void Certificates_out_of_their_time_are_refused(int from, int to, string says)
    {
        var folder = _authority.NewFolder("timed", from, to);

        var e = Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromFolder(folder, TlsEnd.Client));

        Assert.Contains(says, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_leaf_is_no_authority()
    {
        File.Copy(Path.Combine(_authority.Folder, "server-cert.pem"), Path.Combine(_authority.Folder, "ca-cert.pem"), overwrite: true);

        Assert.Contains("not the certificate of an authority", Refusal(TlsEnd.Server), StringComparison.Ordinal);
    }

    [Fact]
    public void Files_by_name_need_what_the_end_needs()
    {
        var certificate = Path.Combine(_authority.Folder, "server-cert.pem");
        var key = Path.Combine(_authority.Folder, "server-key.pem");
        var authority = Path.Combine(_authority.Folder, "ca-cert.pem");

        using var whole = TlsCredentials.FromFiles(certificate, key, authority, TlsEnd.Server);
        Assert.NotNull(whole.Certificate);
        Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromFiles(certificate, key, null, TlsEnd.Server));
        Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromFiles(certificate, null, authority, TlsEnd.Server));
        Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromFiles(null, key, authority, TlsEnd.Client));
        Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromFiles(null, null, authority, TlsEnd.Server));
    }

    [Fact]
    public async Task Both_ends_of_SslStream_accept_each_other() =>
        Assert.Null(await HandshakeAsync(_authority.Folder, _authority.Folder, TestAuthority.HostName));

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData("localhost")]
    public async Task Addresses_are_checked_as_such(string host) =>
        Assert.Null(await HandshakeAsync(_authority.Folder, _authority.Folder, host));

    [Fact]
    public async Task A_server_of_another_name_is_refused() =>
        Assert.IsType<AuthenticationException>(await HandshakeAsync(_authority.Folder, _authority.Folder, "other.example"));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_certificate_of_another_authority_is_refused(bool strangeServer)
    {
        using TestAuthority other = new("Another");
        var server = strangeServer ? other.Folder : _authority.Folder;
        var client = strangeServer ? _authority.Folder : other.Folder;

        Assert.IsType<AuthenticationException>(await HandshakeAsync(server, client, TestAuthority.HostName));
    }

    [Fact]
    public void The_runtimes_TLS_fails_closed_where_it_cannot_do_what_is_asked_for()
    {
        var folder = _authority.NewFolder("lists");
        _authority.Revoke(folder, Path.Combine(folder, "client-cert.pem"));
        using var lists = TlsCredentials.FromFolder(folder, TlsEnd.Server);
        using var names = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server, new TlsPeerPolicy { AllowedNames = ["CN=*"] });
        using var otherKeys = TlsCredentials.FromFolder(Path.Combine(AppContext.BaseDirectory, "Ed25519"), TlsEnd.Client);

        Assert.Contains(
            "revocation lists", Assert.Throws<TlsCredentialsException>(() => lists.ServerOptions()).Message, StringComparison.Ordinal);
        Assert.Contains(
            "allowed names", Assert.Throws<TlsCredentialsException>(() => names.ServerOptions()).Message, StringComparison.Ordinal);
        Assert.Contains(
            "kind of key", Assert.Throws<TlsCredentialsException>(() => otherKeys.ClientOptions("x")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("*", "CN=a,O=b", true)]
    [InlineData("CN=a*", "CN=a,O=b", true)]
    [InlineData("CN=a", "CN=a,O=b", false)]
    [InlineData("cn=a*", "CN=a,O=b", false)]
    [InlineData("*O=?", "CN=a,O=b", true)]
    [InlineData("*a*b*c", "xaxbxxb", false)]
    [InlineData("", "CN=a", false)]
    [InlineData("CN=[a]", "CN=[a]", true)]
    public void Allowed_names_have_the_wildcards_of_tls_authz(string pattern, string name, bool allowed) =>
        Assert.Equal(allowed, TlsPeerPolicy.IsMatch(pattern, name));

    [Fact]
    public void A_pattern_of_many_stars_takes_no_time() =>
        Assert.False(TlsPeerPolicy.IsMatch(string.Concat(Enumerable.Repeat("*a", 500)) + "b", new string('a', 20_000)));

    [Theory]
    [InlineData("", "holds no key")]
    [InlineData("qemu", "line 1")]
    [InlineData("qemu:00\nother:0g", "line 2")]
    [InlineData("qemu:", "line 1")]
    [InlineData(":00", "line 1")]
    [InlineData("qemu:00\nqemu:01", "already")]
    [InlineData("other:0011", "no key of the user 'qemu'")]
    public void A_file_of_shared_keys_that_cannot_be_used_is_named_and_its_keys_are_not(string content, string says)
    {
        var path = Path.Combine(_authority.Folder, "keys.psk");
        File.WriteAllText(path, content);
        var message = Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromSharedKeys(path, TlsEnd.Client)).Message;
        Assert.Contains(path, message, StringComparison.Ordinal);
        Assert.Contains(says, message, StringComparison.Ordinal);
        Assert.DoesNotContain("0g", message, StringComparison.Ordinal);
    }

    /// <summary>The failure of the server if it has one, else the client's, else null.</summary>
    private static async Task<Exception?> HandshakeAsync(string serverFolder, string clientFolder, string host)
    {
        using var serverSide = TlsCredentials.FromFolder(serverFolder, TlsEnd.Server);
        using var clientSide = TlsCredentials.FromFolder(clientFolder, TlsEnd.Client);
        var path = Path.Combine(Path.GetTempPath(), $"dp-tls-{Guid.NewGuid():N}");
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        using Socket dialled = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await dialled.ConnectAsync(new UnixDomainSocketEndPoint(path), TestContext.Current.CancellationToken);
        File.Delete(path);
        await using SslStream server = new(new NetworkStream(await listener.AcceptAsync(TestContext.Current.CancellationToken), true));
        await using SslStream client = new(new NetworkStream(dialled, true));
        var serving = EndAsync(server, () => server.AuthenticateAsServerAsync(serverSide.ServerOptions()));
        var asking = EndAsync(client, () => client.AuthenticateAsClientAsync(clientSide.ClientOptions(host)));
        var asked = await asking;
        return await serving is AuthenticationException e ? e : asked;
    }

    private static async Task<Exception?> EndAsync(SslStream stream, Func<Task> handshake)
    {
        var e = await Record.ExceptionAsync(handshake);
        if (e is not null)
        {
            await stream.DisposeAsync();
        }

        return e;
    }

    private string Refusal(TlsEnd end) =>
        Assert.Throws<TlsCredentialsException>(() => TlsCredentials.FromFolder(_authority.Folder, end)).Message;
}
