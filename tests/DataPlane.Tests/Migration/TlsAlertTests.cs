using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>A destination that says in an alert why it refuses, and resets the connection in the same moment.</summary>
public sealed class TlsAlertTests : IDisposable
{
    private const int Times = 50;

    private readonly TestAuthority _authority = new();
    private readonly TestAuthority _other = new("Another");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _authority.Dispose();
        _other.Dispose();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task The_alert_is_the_reason_and_not_the_reset_behind_it(int channels)
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var folder = _authority.NewFolder("strange");
        foreach (var name in new[] { "client-cert.pem", "client-key.pem" })
        {
            File.Copy(Path.Combine(_other.Folder, name), Path.Combine(folder, name), overwrite: true);
        }

        using var client = TlsCredentials.FromFolder(folder, TlsEnd.Client);
        using var server = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var refusing = RefuseAsync(listener, server, stop.Token);
        using var guest = TestGuest.Patterned(1 << 20);
        var source = new MigrationSource(guest, new MigrationSourceOptions { MultifdChannels = channels, Tls = client });
        for (var i = 0; i < Times; i++)
        {
            var e = await Assert.ThrowsAsync<MigrationException>(
                () => source.MigrateAsync(ChannelAddress.From((IPEndPoint)listener.LocalEndPoint!), cancellationToken: Token));
            Assert.Contains("the server refused our certificate", e.Message, StringComparison.Ordinal);
            Assert.Equal(FailureReason.TlsFailed, e.Reason);
        }

        await stop.CancelAsync();
        await refusing;
    }

    private static async Task RefuseAsync(Socket listener, TlsCredentials credentials, CancellationToken token)
    {
        List<Task> refusals = [];
        try
        {
            while (true)
            {
                var socket = await listener.AcceptAsync(token);
                refusals.Add(Task.Run(() => RefuseOne(socket, credentials), CancellationToken.None));
            }
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(refusals);
        }
    }

    private static void RefuseOne(Socket socket, TlsCredentials credentials)
    {
        using (socket)
        using (var session = credentials.Context.NewSession())
        {
            // The close resets, whatever the source has sent meanwhile. It gives its other channels up when it has heard of one refusal.
            socket.LingerState = new LingerOption(true, 0);
            Assert.ThrowsAny<AuthenticationException>(() => TlsHandshake.Run(session, socket.SafeHandle, CancellationToken.None));
        }
    }
}
