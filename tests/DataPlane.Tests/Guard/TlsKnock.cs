using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A source that speaks TLS with a listener.</summary>
internal sealed class TlsKnock : IDisposable
{
    private TlsKnock(ScriptedPeer peer, SslStream stream)
    {
        Peer = peer;
        Stream = stream;
    }

    /// <summary>The connection below.</summary>
    internal ScriptedPeer Peer { get; }

    internal SslStream Stream { get; }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>A whole ClientHello of TLS 1.3, of a handshake that goes no further.</summary>
    internal static byte[] Hello { get; } = RecordHello();

    /// <summary>Connects and shakes hands, with the client's certificate of <paramref name="folder"/> or with none.</summary>
    internal static async Task<TlsKnock> ComeAsync(ChannelAddress address, string? folder, SslProtocols protocols = SslProtocols.None)
    {
        var peer = ScriptedPeer.Connect(address);
        var stream = new SslStream(new NetworkStream(peer.Socket));
        try
        {
            using var certificate = folder is null ? null
                : X509Certificate2.CreateFromPemFile(Path.Combine(folder, "client-cert.pem"), Path.Combine(folder, "client-key.pem"));
            SslClientAuthenticationOptions options = new()
            {
                TargetHost = "localhost",
                ClientCertificateContext =
                    certificate is null ? null : SslStreamCertificateContext.Create(certificate, null, offline: true),
                // The listener's judgement is asked for, not ours.
                RemoteCertificateValidationCallback = (_, server, _, _) => server is not null,
                EnabledSslProtocols = protocols,
            };
            await stream.AuthenticateAsClientAsync(options, Token);
            return new TlsKnock(peer, stream);
        }
        catch
        {
            await stream.DisposeAsync();
            peer.Dispose();
            throw;
        }
    }

    internal async Task<TlsKnock> SayAsync(byte[] bytes)
    {
        await Stream.WriteAsync(bytes, Token);
        return this;
    }

    internal async Task<byte[]> HearAsync(int count)
    {
        var bytes = new byte[count];
        await Stream.ReadExactlyAsync(bytes, Token);
        return bytes;
    }

    public void Dispose()
    {
        Stream.Dispose();
        Peer.Dispose();
    }

    private static byte[] RecordHello()
    {
        using var written = new Mute();
        using var tls = new SslStream(written);
        Assert.ThrowsAny<Exception>(() => tls.AuthenticateAsClient("localhost"));
        return written.ToArray();
    }

    private sealed class Mute : MemoryStream
    {
        public override int Read(byte[] buffer, int offset, int count) => 0;

        public override int Read(Span<byte> buffer) => 0;
    }
}
