using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>Those who come to a port where TLS is spoken.</summary>
internal static class TlsStrangers
{
    private static readonly byte[] s_hello = RecordHello();

    /// <summary>The one that QEMU cannot tell from its source until it has waited for it.</summary>
    public static StrangerKind Stalls { get; } = new("a whole ClientHello, then silence", _ => s_hello);

    public static StrangerKind HalfHello { get; } = new("half a ClientHello", _ => s_hello[..(s_hello.Length / 2)]);

    /// <summary>What a port with TLS has to expect of those who have no certificate.</summary>
    public static IReadOnlyList<StrangerKind> All { get; } =
    [
        StrangerKinds.Silent,
        HalfHello,
        Stalls,
        new("a whole ClientHello, then reset", _ => s_hello) { Ending = StrangerEnding.Resets },
        new("a whole ClientHello, then garbage", _ => [.. s_hello, .. StrangerBytes.Garbage(100)]),
        new("one byte of a ClientHello a second", _ => s_hello) { Pace = TimeSpan.FromSeconds(1) },
        new("a main channel without TLS", _ => StrangerBytes.Main) { IsProvenFalse = true },
        new("a multifd channel without TLS", target => StrangerBytes.MultifdInit(target.Uuid, 0)) { IsProvenFalse = true },
        StrangerKinds.Http,
        StrangerKinds.Garbage,
        StrangerKinds.Finish,
        StrangerKinds.Reset,
    ];

    /// <summary>Shakes hands to the end, but has no certificate to show; returns when it has been thrown out.</summary>
    public static async Task ComeWithoutCertificateAsync(int port, SslProtocols version, CancellationToken token)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port, token);
        await using var tls = new SslStream(new NetworkStream(socket));
        try
        {
            await tls.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions
                {
                    TargetHost = "localhost",
                    EnabledSslProtocols = version,
                    RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null, // whoever it is
                },
                token);
            Assert.Equal(0, await tls.ReadAsync(new byte[1], token)); // TLS 1.3 ends for the client before the server has judged it
        }
        catch (Exception error) when (error is IOException or AuthenticationException)
        {
            // Thrown out.
        }
    }

    /// <summary>What a client says first, of a handshake that goes no further.</summary>
    private static byte[] RecordHello()
    {
        using var written = new Recorder();
        using var tls = new SslStream(written);
        Assert.ThrowsAny<Exception>(() => tls.AuthenticateAsClient("localhost"));
        return written.ToArray();
    }

    /// <summary>Takes what is written and answers nothing.</summary>
    private sealed class Recorder : MemoryStream
    {
        public override int Read(byte[] buffer, int offset, int count) => 0;

        public override int Read(Span<byte> buffer) => 0;
    }
}
