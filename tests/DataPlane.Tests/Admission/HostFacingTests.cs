using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>What a host that uses nothing else of the library gets, and what it can set.</summary>
public sealed class HostFacingTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_host_takes_the_socket_and_the_bytes_that_were_read_from_it()
    {
        await using var door = Door.Open(Door.Expect(1));
        var peer = door.Knock([.. Opening.Multifd(0), 1, 2, 3]);
        var admitted = await door.TakeAsync();
        Assert.Equal(Opening.Multifd(0), admitted.Consumed.ToArray());
        using var handle = admitted.TakeSocket();
        Assert.Equal(0, SocketCalls.SocketControl(handle, SocketCalls.ControlGetFlags, 0) & SocketCalls.FlagNonBlocking);
        Assert.DoesNotContain((int)handle.DangerousGetHandle(), Descriptors.EpollMembers());
        using Socket socket = new(handle);
        var rest = new byte[3];
        Assert.Equal(3, socket.Receive(rest));
        Assert.Equal([1, 2, 3], rest);
        socket.Send([42]);
        Assert.Equal([42], await peer.ReceiveAsync(1, Token));

        Assert.Throws<InvalidOperationException>(() => admitted.TakeSocket());
        admitted.Dispose(); // not its socket any more
        socket.Send([43]);
        Assert.Equal([43], await peer.ReceiveAsync(1, Token));
    }

    [Fact]
    public async Task A_host_that_does_not_want_a_channel_resets_it()
    {
        await using var door = Door.Open(Door.Expect(0));
        var peer = door.Knock(Opening.Main);
        var admitted = await door.TakeAsync();
        admitted.Dispose();
        admitted.Dispose();
        Assert.Equal(PeerEnd.Reset, (await peer.ReadToEndAsync(Token)).End);
        Assert.Throws<InvalidOperationException>(() => admitted.TakeSocket());
    }

    [Fact]
    public async Task Only_allowed_networks_may_connect()
    {
        await using var door = Door.Open(
            Door.Expect(0) with { Allow = [IPNetwork.Parse("127.0.0.8/29"), IPNetwork.Parse("127.0.0.2/32")] });
        var outsider = door.KnockFrom("127.0.0.1"); // without a byte: it is refused at accept, before it could send
        await door.RefusedAsync(RefusalReason.NotAllowed, 1);
        Assert.Empty((await outsider.ReadToEndAsync(Token)).Bytes);
        door.KnockFrom("127.0.0.2");
        await door.UndecidedAsync(1);
        var allowed = door.KnockFrom("127.0.0.15", Opening.Main);
        Assert.Equal(allowed.Socket.LocalEndPoint!.ToString(), (await door.TakeAsync()).Peer);
    }

    [Fact]
    public async Task A_listener_of_both_families_knows_an_ipv4_peer_by_its_ipv4_address()
    {
        Requires.FamilyOf("::1");
        await using var door = Door.Open(
            Door.Expect(0) with { Allow = [IPNetwork.Parse("127.0.0.1/32")] }, null, ChannelAddress.Parse(":0"));
        door.Knock(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    [Fact]
    public async Task The_snapshot_shows_who_is_there_and_how_far()
    {
        ScriptedHost host = new();
        await using var door = Door.Open(Door.Expect(1) with { Preempt = true }, host);
        var silent = door.Knock();
        await door.UndecidedAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(5));
        var speaking = door.Knock(Opening.Multifd(0).AsSpan(0, 20));
        await door.BytesAsync(speaking, 20);
        var held = door.Knock(Opening.PageRecord);
        await door.HeldAsync(1);

        UndecidedInfo[] expected =
        [
            new(Name(silent), UndecidedState.Silent, 0, TimeSpan.FromSeconds(5)),
            new(Name(speaking), UndecidedState.Speaking, 20, TimeSpan.Zero),
            new(Name(held), UndecidedState.Held, 15, TimeSpan.Zero),
        ];
        Assert.Equal(expected.OrderBy(i => i.Peer), door.Admission.Snapshot().OrderBy(i => i.Peer));
    }

    [Fact]
    public async Task Whoever_is_not_held_may_still_become_any_channel_of_its_own_address()
    {
        ScriptedHost context = new();
        await using var door = Door.Open(Door.Expect(1) with { Preempt = true }, context);
        door.Knock(Opening.PageRecord);
        await door.HeldAsync(1);
        Assert.False(door.Admission.HasOpen(null));

        door.Knock();
        await door.UndecidedAsync(2);
        Assert.True(door.Admission.HasOpen(null));
        Assert.True(door.Admission.HasOpen(PeerGroup.Of(IPAddress.Loopback)));
        Assert.False(door.Admission.HasOpen(PeerGroup.Of(IPAddress.Parse("127.0.0.2"))));
    }

    [Fact]
    public async Task Tls_sessions_that_pass_through_are_admitted_with_their_whole_hello_and_in_order()
    {
        await using var door = Door.Open(new AdmissionOptions { TlsPassThrough = true, MultifdChannels = 2 });
        byte[] hello = [0x16, 0x03, 0x01, 0x07, 0x00, 0x01, 0x00, 0x06, 0xFC, .. Enumerable.Repeat((byte)3, 0x6FC)]; // longer than one read
        var half = door.Knock(hello.AsSpan(0, hello.Length - 1));
        await door.BytesAsync(half, hello.Length - 1);
        var whole = door.Knock([.. hello, 9]);
        var first = await door.TakeAsync();
        Assert.Equal((ChannelKind.Tls, Name(whole)), (first.Kind, first.Peer));
        Assert.Equal(hello, first.Consumed.ToArray());
        half.Send(hello[^1]);
        Assert.Equal(Name(half), (await door.TakeAsync()).Peer);

        door.Knock(Opening.Main);
        door.Knock(Opening.Multifd(0).AsSpan(0, 1));
        await door.RefusedAsync(RefusalReason.PlainOnTls, 2);
        door.Knock(0x16, 0x03, 0x01, 0x40, 0x01);
        door.Knock(0x16, 0x03, 0x01, 0x02, 0x00, 0x02);
        await door.RefusedAsync(RefusalReason.Garbage, 2);
    }

    [Fact]
    public async Task Room_for_all_the_main_channels_own_peers_go_last()
    {
        await using var door = Door.Open(Door.Expect(1) with { MaxUndecided = 10, MaxUndecidedPerPeer = 4 });
        door.Knock(Opening.Main);
        await door.TakeAsync();
        var honest = door.Knock();
        for (var i = 0; i < 3; i++)
        {
            door.Knock();
        }

        for (var i = 2; i < 8; i++)
        {
            door.KnockFrom($"127.0.0.{i}");
            await door.UndecidedAsync(3 + i);
        }

        var newest = door.KnockFrom("127.0.0.8");
        await door.RefusedAsync(RefusalReason.Evicted, 1);
        Assert.StartsWith("127.0.0.2:", door.Refusals.Single().Peer, StringComparison.Ordinal);
        newest.Dispose();
        await door.RefusedAsync(RefusalReason.Closed, 1);

        honest.Send(Opening.Multifd(0));
        Assert.Equal(Name(honest), (await door.TakeAsync()).Peer);
    }

    private static string Name(ScriptedPeer peer) => peer.Socket.LocalEndPoint!.ToString()!;
}
