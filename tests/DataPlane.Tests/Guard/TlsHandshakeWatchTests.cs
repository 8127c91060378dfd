using DataPlane.Guard.Tls;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Handshakes by the heads of their records; whole ones with real keys are in <see cref="TlsPassThroughTests"/>.</summary>
public sealed class TlsHandshakeWatchTests
{
    private const byte Change = 20;
    private const byte Handshake = 22;
    private const byte Data = 23;

    [Theory]
    [InlineData(0x1301, 53)]
    [InlineData(0x1302, 69)]
    [InlineData(0x1303, 53)]
    [InlineData(0x1305, 45)]
    public void TLS_1_3_looks_over_with_a_client_s_record_as_long_as_the_last_message(int suite, int length)
    {
        var watch = new TlsHandshakeWatch();
        watch.TakeClient(Record(Handshake, 200));
        Singly(watch.TakeServer, Hello((ushort)suite, is13: true));
        watch.TakeServer([.. Record(Change, 1), .. Record(Data, 1000)]);
        watch.TakeClient(Record(Change, 1));
        Assert.False(watch.MayBeOver);
        watch.TakeClient(Record(Data, 900)); // a certificate
        Assert.True(watch.MayBeOver);
        Assert.False(watch.LooksOver);
        Singly(watch.TakeClient, Record(Data, length));
        Assert.True(watch.LooksOver);
        Assert.False(watch.IsBroken);
    }

    [Fact]
    public void TLS_1_3_with_a_second_hello_is_the_same()
    {
        var watch = new TlsHandshakeWatch();
        watch.TakeServer(Hello(0x1302, is13: true)); // asks for another key share
        watch.TakeClient(Record(Handshake, 300));
        watch.TakeServer(Hello(0x1302, is13: true));
        Assert.False(watch.MayBeOver);
        watch.TakeClient(Record(Data, 69));
        Assert.True(watch.LooksOver);
    }

    [Fact]
    public void TLS_1_2_is_over_with_the_servers_last_message()
    {
        var watch = new TlsHandshakeWatch();
        // Other messages may stand after the hello in its record: they are no extensions of it.
        watch.TakeServer(Hello(0xC030, is13: false, behind: [11, 0, 0, 4, 0, 43, 0, 2]));
        watch.TakeServer(Record(Handshake, 800));
        watch.TakeClient([.. Record(Handshake, 500), .. Record(Change, 1)]);
        Assert.False(watch.MayBeOver);
        watch.TakeClient(Record(Handshake, 40));
        Assert.True(watch.MayBeOver);
        Assert.False(watch.LooksOver);
        watch.TakeServer(Record(Change, 1));
        Assert.False(watch.LooksOver);
        watch.TakeServer(Record(Handshake, 40));
        Assert.True(watch.LooksOver);
    }

    [Theory]
    [InlineData(new byte[] { 0x51, 0x45, 0x56, 0x4d, 0 })]
    [InlineData(new byte[] { 22, 2, 0, 0, 1 })]
    [InlineData(new byte[] { 22, 3, 3, 0x41, 1 })]
    public void What_is_no_TLS_breaks_it_from_either_side(byte[] bytes)
    {
        var client = new TlsHandshakeWatch();
        client.TakeClient(bytes);
        Assert.True(client.IsBroken);
        var server = new TlsHandshakeWatch();
        server.TakeServer(bytes);
        Assert.True(server.IsBroken);
    }

    private static void Singly(TakeBytes take, byte[] bytes)
    {
        foreach (var value in bytes)
        {
            take([value]);
        }
    }

    private static byte[] Record(byte type, int length, byte[]? body = null) =>
        [type, 3, 3, (byte)(length >> 8), (byte)length, .. body ?? new byte[length]];

    private static byte[] Hello(ushort suite, bool is13, byte[]? behind = null)
    {
        byte[] extensions = is13 ? [0, 51, 0, 2, 0, 29, 0, 43, 0, 2, 3, 4] : [0xFF, 1, 0, 1, 0];
        byte[] rest = [3, 3, .. new byte[32], 2, 7, 7, (byte)(suite >> 8), (byte)suite, 0, 0, (byte)extensions.Length, .. extensions];
        byte[] message = [2, 0, 0, (byte)rest.Length, .. rest, .. behind ?? []];
        return Record(Handshake, message.Length, message);
    }

    private delegate void TakeBytes(ReadOnlySpan<byte> bytes);
}
