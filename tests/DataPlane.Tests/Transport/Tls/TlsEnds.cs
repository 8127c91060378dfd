using System.Net;
using System.Net.Sockets;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Transport.Tls;

/// <summary>A handshake between the two ends as `send`, `receive` and the guard make them, over TCP.</summary>
internal static class TlsEnds
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// What the client and the server said against it; null for one that did not. With TLS 1.3 a client is through before its server has
    /// judged it, so a byte goes back once both are in.
    /// </summary>
    internal static async Task<(string? Client, string? Server)> ShakeHandsAsync(
        TlsCredentials client, TlsCredentials server, string host = "127.0.0.1", bool inGuard = false)
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Socket dialled = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await dialled.ConnectAsync(listener.LocalEndPoint!, Token);
        var accepted = await listener.AcceptAsync(Token);
        var serving = ServeAsync(accepted, server, inGuard);
        var asked = await AskAsync(dialled, client, host);
        return (asked, await serving);
    }

    private static async Task<string?> AskAsync(Socket socket, TlsCredentials credentials, string host)
    {
        try
        {
            await using var stream =
                await TlsStream.SecureAsync(socket, credentials, host, TimeSpan.FromMinutes(1), TimeProvider.System, Token);
            return await stream.ReadAsync(new byte[1], Token) == 1 ? null : "the server closed";
        }
        catch (IOException e)
        {
            return e.Message;
        }
        catch (System.Security.Authentication.AuthenticationException e)
        {
            return e.Message;
        }
    }

    private static async Task<string?> ServeAsync(Socket socket, TlsCredentials credentials, bool inGuard)
    {
        await using var guard = inGuard ? new TlsBridgeUpgrade(credentials, TimeProvider.System) : null;
        using var receive = inGuard ? null : new OpenSslUpgrade(credentials);
        try
        {
            IChannelUpgrade upgrade = guard is null ? receive! : guard;
            var inside = await upgrade.UpgradeAsync(socket.SafeHandle, "test", ReadOnlyMemory<byte>.Empty, Token);
            await using Stream stream = inside.Session is { } session
                ? new TlsStream(new Socket(inside.Socket), session) : new NetworkStream(new Socket(inside.Socket), ownsSocket: true);
            await stream.WriteAsync(new byte[] { 1 }, Token);
            _ = await stream.ReadAsync(new byte[1], Token); // until the client has it and closes
            return null;
        }
        catch (System.Security.Authentication.AuthenticationException e)
        {
            return e.Message;
        }
        catch (IOException)
        {
            return null; // the client had its reasons, and says them
        }
    }
}
