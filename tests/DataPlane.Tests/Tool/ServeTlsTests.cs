using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using DataPlane.TestSupport;
using DataPlane.Tool.Serve;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>The control connection of <c>serve --tls-dir</c>: what is agreed on it decides what the channels are for.</summary>
public sealed class ServeTlsTests : IAsyncLifetime
{
    private readonly TestAuthority _authority = new();
    private readonly ConcurrentQueue<string> _told = new();
    private readonly CancellationTokenSource _stop = new();
    private TlsCredentials _credentials = null!;
    private ServeServer _server = null!;
    private Task _running = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _credentials = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        _server = new ServeServer(new IPEndPoint(IPAddress.Loopback, 0), new ServeSettings { MaxRamBytes = 1 << 20 }, [],
            TimeProvider.System, _told.Enqueue, _credentials);
        _running = _server.RunAsync(_stop.Token);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Who_shows_a_certificate_of_the_authority_is_welcome()
    {
        await using var control = await ConnectAsync(_authority.Folder);
        Assert.IsType<WelcomeMessage>(await HelloAsync(control));
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("another authority")]
    [InlineData("no certificate")]
    public async Task Who_does_not_is_told_nothing_and_the_next_one_is_served(string who)
    {
        using TestAuthority other = new("Another authority");
        // It takes our server's certificate, so that it is the server that refuses.
        File.Copy(Path.Combine(_authority.Folder, "ca-cert.pem"), Path.Combine(other.Folder, "ca-cert.pem"), overwrite: true);
        if (who == "no certificate")
        {
            File.Delete(Path.Combine(other.Folder, "client-cert.pem"));
            File.Delete(Path.Combine(other.Folder, "client-key.pem"));
        }

        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await using var control = who == "plain" ? new ControlConnection(
                new NetworkStream(await DialAsync(), ownsSocket: true), "server", TimeProvider.System) : await ConnectAsync(other.Folder);
            if (await HelloAsync(control) is null)
            {
                throw new EndOfStreamException();
            }
        });
        await Eventually.TrueAsync(() => _told.Any(static line => line.StartsWith("a client was refused: ", StringComparison.Ordinal)),
            "the refusal is told", Token);
        Assert.DoesNotContain(_told, static line => line.Contains("opened", StringComparison.Ordinal));

        await using var honest = await ConnectAsync(_authority.Folder);
        Assert.IsType<WelcomeMessage>(await HelloAsync(honest));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _running);
        _server.Dispose();
        _stop.Dispose();
        _credentials.Dispose();
        _authority.Dispose();
    }

    private async Task<Socket> DialAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(_server.LocalEndPoint, Token);
        return socket;
    }

    private async Task<ControlConnection> ConnectAsync(string folder)
    {
        using var credentials = TlsCredentials.FromFolder(folder, TlsEnd.Client);
        var stream = await ControlTls.SecureAsync(await DialAsync(), credentials, "127.0.0.1", TimeProvider.System, Token);
        return new ControlConnection(stream, "server", TimeProvider.System);
    }

    private static async Task<ControlMessage?> HelloAsync(ControlConnection control)
    {
        await control.WriteAsync(new HelloMessage { Version = HelloMessage.CurrentVersion, DataplaneVersion = "test" }, Token);
        return await control.ReadAsync(null, Token);
    }
}
