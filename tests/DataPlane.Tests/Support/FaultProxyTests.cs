using System.Net;
using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Support;

/// <summary>The tool that other tests trust.</summary>
public sealed class FaultProxyTests : IDisposable
{
    private static readonly byte[] s_bytes = [.. Enumerable.Range(0, 1000).Select(i => (byte)i)];
    private readonly Socket _target = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public FaultProxyTests()
    {
        _target.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _target.Listen();
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _target.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Without_a_fault_it_passes_everything_and_the_end(bool singly)
    {
        await using var proxy = Start(new FaultPlan { Forward = new Fault { PieceBytes = singly ? 1 : null } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            client.Send(s_bytes).Finish();
            Assert.Equal((PeerEnd.Closed, s_bytes), await server.ReadToEndAsync(Token), EndComparer);
            server.Send(s_bytes).Finish();
            Assert.Equal((PeerEnd.Closed, s_bytes), await client.ReadToEndAsync(Token), EndComparer);
            var link = await proxy.LinkAsync(0, Token);
            Assert.Equal((1000, 1000), (link.ForwardBytes, link.BackwardBytes));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(999)]
    public async Task It_cuts_by_fin_at_the_byte(int at)
    {
        await using var proxy = Start(new FaultPlan { Forward = new Fault { CutAt = at, CutByReset = false } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            client.Send(s_bytes);
            Assert.Equal((PeerEnd.Closed, s_bytes[..at]), await server.ReadToEndAsync(Token), EndComparer);
            Assert.Equal(PeerEnd.Closed, (await client.ReadToEndAsync(Token)).End);
        }
    }

    [Fact]
    public async Task It_cuts_by_reset_on_both_sides()
    {
        await using var proxy = Start(new FaultPlan { Backward = new Fault { CutAt = 10 } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            server.Send(s_bytes);
            Assert.Equal(PeerEnd.Reset, (await server.ReadToEndAsync(Token)).End);
            (var end, var bytes) = await client.ReadToEndAsync(Token);
            Assert.Equal(PeerEnd.Reset, end);
            Assert.InRange(bytes.Length, 0, 10);
            await (await proxy.LinkAsync(0, Token)).Ended.WaitAsync(Token);
        }
    }

    [Fact]
    public async Task It_stalls_at_the_byte_until_told_to_go_on()
    {
        await using var proxy = Start(new FaultPlan { Forward = new Fault { StallAt = 500 } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            client.Send(s_bytes).Finish();
            var link = await proxy.LinkAsync(0, Token);
            await link.Stalled.WaitAsync(Token);
            Assert.Equal(s_bytes[..500], await server.ReceiveAsync(500, Token));
            Assert.Equal(0, server.Socket.Available);
            link.Resume();
            Assert.Equal((PeerEnd.Closed, s_bytes[500..]), await server.ReadToEndAsync(Token), EndComparer);
        }
    }

    [Fact]
    public async Task It_corrupts_one_byte()
    {
        await using var proxy = Start(new FaultPlan { Forward = new Fault { CorruptAt = 700, CorruptMask = 0x01 } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            client.Send(s_bytes).Finish();
            byte[] expected = [.. s_bytes];
            expected[700] ^= 1;
            Assert.Equal((PeerEnd.Closed, expected), await server.ReadToEndAsync(Token), EndComparer);
        }
    }

    [Fact]
    public async Task It_reads_and_throws_away_what_comes_after_the_byte()
    {
        await using var proxy = Start(new FaultPlan { Forward = new Fault { DiscardAt = 500 } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            var much = new byte[64 << 20]; // more than all buffers on the way
            await Task.Run(() => client.Send(s_bytes).Send(much).Finish(), Token);
            Assert.Equal(s_bytes[..500], await server.ReceiveAsync(500, Token));
            var link = await proxy.LinkAsync(0, Token);
            await link.ForwardDiscarding.WaitAsync(Token);
            server.Send(s_bytes);
            Assert.Equal(s_bytes, await client.ReceiveAsync(1000, Token)); // the other way goes on
            Assert.Equal((500, 0), (link.ForwardBytes, server.Socket.Available));
        }
    }

    /// <summary>However the bytes come, not one of the record or after it gets through.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task It_stops_at_a_record_of_main(bool singly)
    {
        var before = new RecordedStream().Header().Command(CommandType.OpenReturnPath).Ping(1).Start()
            .Begin(SectionType.Part).EndSection().Bytes;
        var after = new RecordedStream().Ping(2).Command(CommandType.Packaged, 0, 0, 0, 5).Raw(8, 0, 4, 0, 0).Ping(4).Bytes;
        await using var proxy = Start(new FaultPlan { Forward = new Fault { StallAtRecord = new FaultPoint("PING", 4, 3) } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            byte[] all = [.. before, .. after];
            _ = singly ? client.SendSingly(all) : client.Send(all);
            var link = await proxy.LinkAsync(0, Token);
            await link.ForwardStalled.WaitAsync(Token);
            var passed = all.Length - 9 + 3;
            Assert.Equal(all[..passed], await server.ReceiveAsync(passed, Token));
            Assert.Equal((passed, 0), (link.ForwardBytes, server.Socket.Available));
            link.ResumeForward();
            Assert.Equal(all[passed..], await server.ReceiveAsync(6, Token));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task It_cuts_at_a_record_of_the_return_path(bool singly)
    {
        byte[] bitmap = [0, 5, 0, 2, 1, (byte)'x', 0, 0, 0, 0, 0, 0, 0, 8, .. new byte[8], 1, 2, 3, 4, 5, 6, 7, 8];
        byte[] pongs = [0, 2, 0, 4, 0, 0, 0, 3, 0, 2, 0, 4, 0, 0, 0, 0x42];
        await using var proxy = Start(
            new FaultPlan { Backward = new Fault { CutAtRecord = new FaultPoint("PONG", 0x42), CutByReset = false } });
        (var client, var server) = Connect(proxy);
        using (client)
        using (server)
        {
            byte[] all = [.. bitmap, .. pongs];
            _ = singly ? server.SendSingly(all) : server.Send(all);
            Assert.Equal((PeerEnd.Closed, all[..^8]), await client.ReadToEndAsync(Token), EndComparer);
        }
    }

    private static bool EndComparer((PeerEnd End, byte[] Bytes) a, (PeerEnd End, byte[] Bytes) b) =>
        a.End == b.End && a.Bytes.SequenceEqual(b.Bytes);

    private FaultProxy Start(FaultPlan plan) => FaultProxy.Start(ChannelAddress.From((IPEndPoint)_target.LocalEndPoint!), _ => plan);

    private (ScriptedPeer Client, ScriptedPeer Server) Connect(FaultProxy proxy)
    {
        var client = ScriptedPeer.Connect(proxy.Address);
        return (client, new ScriptedPeer(_target.Accept()));
    }
}
