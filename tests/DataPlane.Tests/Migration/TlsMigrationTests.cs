using System.Net;
using System.Net.Sockets;
using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Our source to our destination inside TLS, and every way in which it must not come about.</summary>
[Collection(CountsOfTheProcess.Name)]
public sealed class TlsMigrationTests : IDisposable
{
    private static readonly ChannelAddress s_anyPort = ChannelAddress.Parse("127.0.0.1:0");
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(20);

    private readonly TestAuthority _authority = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _authority.Dispose();

    [Theory]
    [InlineData(0, false)]
    [InlineData(4, false)]
    [InlineData(0, true)]
    [InlineData(4, true)]
    public async Task A_guest_arrives_byte_for_byte(int channels, bool withSslStream)
    {
        AppContext.SetSwitch(OpenSsl.AvoidSwitch, withSslStream);
        try
        {
            using var guest = TestGuest.Patterned(16 << 20);
            using var incoming = new TestIncomingGuest();
            using Ends ends = new(_authority.Folder, _authority.Folder);
            await using var destination = ends.Listen(incoming, channels);
            var receiving = destination.ReceiveAsync(cancellationToken: Token);
            var sent = await ends.Source(guest, channels).MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token);
            var received = await receiving;

            incoming.AssertSameMemoryAs(guest.Memory);
            Assert.True(incoming.Started);
            Assert.Equal(sent.TransferredBytes, received.TransferredBytes);
            Assert.Equal(channels + 1, received.Channels.Count);
            Assert.All(destination.Refused.Values, static count => Assert.Equal(0, count));
        }
        finally
        {
            AppContext.SetSwitch(OpenSsl.AvoidSwitch, false);
        }
    }

    [Fact]
    public async Task A_server_of_another_authority_is_refused()
    {
        using TestAuthority other = new("Another");
        await AssertRefusedAsync(other.Folder, _authority.Folder, null, "was not signed by our authority");
    }

    [Fact]
    public async Task A_client_of_another_authority_is_refused()
    {
        using TestAuthority other = new("Another");
        var client = _authority.NewFolder("strange client");
        foreach (var name in new[] { "client-cert.pem", "client-key.pem" })
        {
            File.Copy(Path.Combine(other.Folder, name), Path.Combine(client, name), overwrite: true);
        }

        await AssertRefusedAsync(_authority.Folder, client, null, "does not know the authority");
    }

    [Fact]
    public async Task A_client_without_certificate_is_refused()
    {
        var client = _authority.NewFolder("anonymous");
        File.Delete(Path.Combine(client, "client-cert.pem"));
        File.Delete(Path.Combine(client, "client-key.pem"));
        await AssertRefusedAsync(_authority.Folder, client, null, "demands a certificate");
    }

    [Fact]
    public async Task A_revoked_server_is_refused()
    {
        var client = _authority.NewFolder("knows more");
        _authority.Revoke(client, Path.Combine(_authority.Folder, "server-cert.pem"));
        await AssertRefusedAsync(_authority.Folder, client, null, "has been revoked");
    }

    [Fact]
    public async Task A_server_of_another_name_is_refused() =>
        await AssertRefusedAsync(_authority.Folder, _authority.Folder, "other.example", "is not for 'other.example'");

    [Fact]
    public async Task A_server_without_that_address_is_refused() =>
        await AssertRefusedAsync(_authority.NewFolder("names only", addresses: false), _authority.Folder, null, "is not for '127.0.0.1'");

    [Fact]
    public async Task A_certificate_that_expired_since_it_was_read_is_refused()
    {
        var server = _authority.NewFolder("old", -10, -1);
        using var early = TlsCredentials.FromFolder(server, TlsEnd.Server, new FixedTime(DateTimeOffset.UtcNow.AddDays(-5)));
        await AssertRefusedAsync(early, _authority.Folder, null, "has expired");
    }

    [Fact]
    public async Task TLS_to_a_plain_destination_fails_at_once()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        using var incoming = new TestIncomingGuest();
        using Ends ends = new(_authority.Folder, _authority.Folder);
        await using var destination = new MigrationDestination([s_anyPort], incoming, new MigrationDestinationOptions());
        var e = await Assert.ThrowsAsync<MigrationException>(
            () => ends.Source(guest, 0).MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token).WaitAsync(s_deadline, Token));
        Assert.Equal(FailureReason.TlsFailed, e.Reason);
        Assert.Contains("perhaps", e.Message, StringComparison.Ordinal);
        // It closes first and counts then.
        await Eventually.TrueAsync(() => destination.Refused[RefusalReason.TlsOnPlain] == 1, "refused", Token);
    }

    [Fact]
    public async Task A_plain_source_is_refused_by_a_TLS_destination_which_goes_on_waiting()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        using var incoming = new TestIncomingGuest();
        using Ends ends = new(_authority.Folder, _authority.Folder);
        await using var destination = ends.Listen(incoming, 0);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var plain = new MigrationSource(guest, new MigrationSourceOptions());
        await Assert.ThrowsAsync<MigrationException>(
            () => plain.MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token).WaitAsync(s_deadline, Token));
        await Eventually.TrueAsync(() => destination.Refused[RefusalReason.PlainOnTls] == 1, "refused", Token);

        await ends.Source(guest, 0).MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token);
        await receiving;
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    [Theory]
    [InlineData("silent", "did not complete the TLS handshake within 1 s")]
    [InlineData("closes", "closed the connection in the TLS handshake")]
    [InlineData("talks", "does not speak TLS")]
    public async Task A_destination_without_TLS_is_named_within_the_deadline(string what, string words)
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var guest = TestGuest.Patterned(1 << 20);
        using Ends ends = new(_authority.Folder, _authority.Folder);
        var migrating = ends.Source(guest, 0, TimeSpan.FromSeconds(1))
            .MigrateAsync(ChannelAddress.From((IPEndPoint)listener.LocalEndPoint!), cancellationToken: Token);
        using var peer = await listener.AcceptAsync(Token);
        if (what == "talks")
        {
            await peer.SendAsync("220 here is another service\r\n"u8.ToArray(), Token);
        }

        if (what == "closes")
        {
            await peer.ReceiveAsync(new byte[4096], Token);
            peer.Close();
        }

        var e = await Assert.ThrowsAsync<MigrationException>(() => migrating.WaitAsync(s_deadline, Token));
        Assert.Equal((FailureReason.TlsFailed, "main"), (e.Reason, e.Channel));
        Assert.Contains(words, e.Message, StringComparison.Ordinal);
    }

    private async Task AssertRefusedAsync(string server, string client, string? host, string words)
    {
        using var credentials = TlsCredentials.FromFolder(server, TlsEnd.Server);
        await AssertRefusedAsync(credentials, client, host, words);
    }

    /// <summary>The source fails with one clear line; the destination refuses a connection and goes on waiting.</summary>
    private static async Task AssertRefusedAsync(TlsCredentials server, string client, string? host, string words)
    {
        using var guest = TestGuest.Patterned(1 << 20);
        using var incoming = new TestIncomingGuest();
        using var clientSide = TlsCredentials.FromFolder(client, TlsEnd.Client);
        await using var destination = new MigrationDestination([s_anyPort], incoming, new MigrationDestinationOptions { Tls = server });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, new MigrationSourceOptions { Tls = clientSide, TlsHostName = host });
        var e = await Assert.ThrowsAsync<MigrationException>(
            () => source.MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token).WaitAsync(s_deadline, Token));

        Assert.Equal(FailureReason.TlsFailed, e.Reason);
        Assert.Contains(words, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
        await Eventually.TrueAsync(
            () => destination.Refused[RefusalReason.TlsHandshake] + destination.Refused[RefusalReason.Closed] > 0, "refused", Token);
        Assert.False(receiving.IsCompleted);
    }

    private sealed class Ends(string server, string client) : IDisposable
    {
        private readonly TlsCredentials _server = TlsCredentials.FromFolder(server, TlsEnd.Server);
        private readonly TlsCredentials _client = TlsCredentials.FromFolder(client, TlsEnd.Client);

        internal MigrationDestination Listen(TestIncomingGuest guest, int channels) =>
            new([s_anyPort], guest, new MigrationDestinationOptions { MultifdChannels = channels, Tls = _server });

        internal MigrationSource Source(TestGuest guest, int channels, TimeSpan? timeout = null) => new(
            guest,
            new MigrationSourceOptions
            {
                MultifdChannels = channels,
                Tls = _client,
                TlsHandshakeTimeout = timeout ?? TimeSpan.FromSeconds(10),
            });

        public void Dispose()
        {
            _server.Dispose();
            _client.Dispose();
        }
    }

    private sealed class FixedTime(DateTimeOffset now) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => now;
    }
}
