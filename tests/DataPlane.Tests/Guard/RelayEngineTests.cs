using System.Net.Sockets;
using System.Security.Cryptography;
using DataPlane.Guard;
using DataPlane.Guard.Relay;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Relays whose two directions share a thread.</summary>
public sealed class RelayEngineTests : RelayScene
{
    [Fact]
    public async Task Bytes_go_both_ways_unchanged_and_the_first_ones_go_first()
    {
        var there = RandomNumberGenerator.GetBytes(5_000_000);
        var back = RandomNumberGenerator.GetBytes(3_000_000);
        var relay = Engine.Reserve(ChannelKind.Preempt, 0, Qemu.Channel);
        Engine.JoinClient(relay, Client.Channel, there.AsMemory(0, 100));

        var sending = Task.WhenAll(
            Task.Run(() => Client.Peer.Send(there.AsSpan(100)), Token), Task.Run(() => Qemu.Peer.Send(back), Token));
        var arrivedBack = await Client.Peer.ReceiveAsync(back.Length, Token);
        byte[] arrivedThere = [];
        await Task.WhenAll(sending, Task.Run(async () => arrivedThere = await Qemu.Peer.ReceiveAsync(there.Length, Token), Token));

        Assert.True(there.AsSpan().SequenceEqual(arrivedThere));
        Assert.True(back.AsSpan().SequenceEqual(arrivedBack));
        await Eventually.TrueAsync(() => relay.ClientBytes == there.Length && relay.QemuBytes == back.Length, "all is counted", Token);
        Assert.Equal(GuardChannelState.Open, relay.State);
    }

    [Fact]
    public async Task The_end_of_one_direction_passes_and_the_other_goes_on()
    {
        var relay = Join();

        Client.Peer.Send(1, 2, 3).Finish();
        (var end, var bytes) = await Qemu.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal([1, 2, 3], bytes);
        await Eventually.TrueAsync(() => relay.State == GuardChannelState.HalfClosed, "half closed", Token);

        Qemu.Peer.Send(4, 5).Finish();
        (end, bytes) = await Client.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal([4, 5], bytes);
        await EndedAsync(relay, RelayEnding.Closed);
    }

    /// <summary>A watch resets a client that has vanished. The relay must hear of it, as of a reset by the client itself.</summary>
    [Fact]
    public async Task A_client_that_is_reset_from_here_is_lost()
    {
        var relay = Join();
        Client.Channel.Reset();
        await EndedAsync(relay, RelayEnding.ClientLost);
        Assert.Equal(PeerEnd.Closed, (await Qemu.Peer.ReadToEndAsync(Token)).End); // a reset could cost QEMU what it has not read yet
    }

    [Fact]
    public async Task A_QEMU_that_does_not_read_stops_the_client_and_nothing_is_lost()
    {
        Join();
        Client.Peer.Socket.Blocking = false;
        var chunk = RandomNumberGenerator.GetBytes(1 << 16);
        long sent = 0;

        // Full when nothing has been taken for as long as a relay that takes would need to empty much more.
        for (var refusals = 0; refusals < 200;)
        {
            try
            {
                sent += Client.Peer.Socket.Send(chunk.AsSpan((int)(sent % chunk.Length)));
                refusals = 0;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
            {
                refusals++;
                await Task.Delay(1, Token);
            }

            Assert.InRange(sent, 0, 64 << 20);
        }

        Client.Peer.Finish();
        (var end, var bytes) = await Qemu.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal(sent, bytes.Length);
        for (long i = 0; i < sent; i += 4093)
        {
            Assert.Equal(chunk[i % chunk.Length], bytes[i]);
        }
    }

    [Fact]
    public async Task A_client_that_vanishes_closes_QEMUs_side_at_once()
    {
        var relay = Join();

        Client.Peer.Reset();

        Assert.Equal(PeerEnd.Closed, (await Qemu.Peer.ReadToEndAsync(Token)).End);
        await EndedAsync(relay, RelayEnding.ClientLost);
        Assert.NotEqual(0, relay.Errno);
    }

    [Fact]
    public async Task A_QEMU_that_dies_with_bytes_unread_resets_the_client_behind_its_last_words()
    {
        var relay = Join();
        Client.Peer.Send(new byte[100]);
        await Eventually.TrueAsync(() => relay.ClientBytes == 100, "QEMU's socket has them", Token);

        Qemu.Peer.Send(7, 7, 7);
        Qemu.Peer.Socket.Dispose();

        Assert.Equal([7, 7, 7], (await Client.Peer.ReadToEndAsync(Token)).Bytes);
        await EndedAsync(relay, RelayEnding.QemuLost);
        Assert.Throws<SocketException>(() => Client.Peer.Send(1));
    }

    [Fact]
    public async Task A_held_client_that_goes_is_noticed_although_it_has_bytes_unread()
    {
        var relay = Engine.Hold(ChannelKind.Multifd, 0, Client.Channel);

        Client.Peer.Send(1, 2, 3).Reset();

        await EndedAsync(relay, RelayEnding.ClientLost);
    }

    [Fact]
    public async Task A_held_client_loses_nothing_of_what_it_sends_meanwhile()
    {
        var relay = Engine.Hold(ChannelKind.Multifd, 0, Client.Channel);
        Client.Peer.Send(1, 2, 3);

        Engine.JoinQemu(relay, Qemu.Channel, 64, null);

        Assert.Equal([1, 2, 3], await Qemu.Peer.ReceiveAsync(3, Token));
        Assert.Equal(67, relay.ClientBytes);
    }

    [Fact]
    public async Task A_client_that_finishes_while_QEMU_is_being_connected_is_delivered_in_full()
    {
        var relay = Engine.Hold(ChannelKind.Main, 0, Client.Channel);
        relay.Claim();
        Client.Peer.Send(1, 2, 3).Finish();
        await Eventually.TrueAsync(() => relay.Client!.HasHungUp, "the end is seen", Token);

        Engine.JoinQemu(relay, Qemu.Channel, 0, null);

        Assert.Equal([1, 2, 3], (await Qemu.Peer.ReadToEndAsync(Token)).Bytes);
    }

    [Fact]
    public async Task An_aborted_relay_resets_the_client_and_gives_QEMU_a_plain_end()
    {
        var relay = Join();
        Client.Peer.Send(1);
        await Eventually.TrueAsync(() => relay.ClientBytes == 1, "it flows", Token);

        Engine.Abort(relay);

        Assert.Equal(PeerEnd.Reset, (await Client.Peer.ReadToEndAsync(Token)).End);
        Assert.Equal(PeerEnd.Closed, (await Qemu.Peer.ReadToEndAsync(Token)).End);
        await EndedAsync(relay, RelayEnding.Aborted);
    }

    [Fact]
    public async Task A_disposed_engine_leaves_no_socket_open()
    {
        var relay = Join();
        Client.Peer.Send(1);
        await Eventually.TrueAsync(() => relay.ClientBytes == 1, "it flows", Token);

        Engine.Dispose();

        Assert.Equal(RelayEnding.Aborted, relay.Ending);
        Assert.True(Client.Channel.Handle.IsClosed);
        Assert.True(Qemu.Channel.Handle.IsClosed);
        Assert.Equal(0, Engine.Relays);
    }

    private ChannelRelay Join()
    {
        var relay = Engine.Hold(ChannelKind.Multifd, 1, Client.Channel);
        Engine.JoinQemu(relay, Qemu.Channel, 0, null);
        return relay;
    }
}
