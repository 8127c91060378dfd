using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography;
using DataPlane.Admission;
using DataPlane.Guard;
using DataPlane.Guard.Relay;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A relay between a scripted client over TCP and a scripted QEMU over a Unix socket.</summary>
public sealed class RelayEngineTests : IAsyncLifetime
{
    private readonly ConcurrentQueue<ChannelRelay> _ended = new();
    private readonly ConcurrentQueue<Exception> _failures = new();
    private readonly RelayEngine _engine;
    private ChannelPair _client = null!;
    private ChannelPair _qemu = null!;

    public RelayEngineTests() => _engine = new RelayEngine(2, _ended.Enqueue, _failures.Enqueue);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _client = await ChannelPair.ConnectAsync(Token);
        _qemu = await ChannelPair.ConnectAsync(Token, unix: true);
    }

    public async ValueTask DisposeAsync()
    {
        _engine.Dispose();
        await _client.DisposeAsync();
        await _qemu.DisposeAsync();
        Assert.Empty(_failures);
    }

    [Fact]
    public async Task Bytes_go_both_ways_unchanged_and_the_first_ones_go_first()
    {
        byte[] there = RandomNumberGenerator.GetBytes(5_000_000);
        byte[] back = RandomNumberGenerator.GetBytes(3_000_000);
        ChannelRelay relay = _engine.Reserve(ChannelKind.Preempt, 0, _qemu.Channel);
        _engine.JoinClient(relay, _client.Channel, there.AsMemory(0, 100));

        Task sending = Task.WhenAll(
            Task.Run(() => _client.Peer.Send(there.AsSpan(100)), Token), Task.Run(() => _qemu.Peer.Send(back), Token));
        byte[] arrivedBack = await _client.Peer.ReceiveAsync(back.Length, Token);
        byte[] arrivedThere = [];
        await Task.WhenAll(sending, Task.Run(async () => arrivedThere = await _qemu.Peer.ReceiveAsync(there.Length, Token), Token));

        Assert.True(there.AsSpan().SequenceEqual(arrivedThere));
        Assert.True(back.AsSpan().SequenceEqual(arrivedBack));
        await Eventually.TrueAsync(() => relay.ClientBytes == there.Length && relay.QemuBytes == back.Length, "all is counted", Token);
        Assert.Equal(GuardChannelState.Open, relay.State);
    }

    [Fact]
    public async Task The_end_of_one_direction_passes_and_the_other_goes_on()
    {
        ChannelRelay relay = Join();

        _client.Peer.Send(1, 2, 3).Finish();
        (PeerEnd end, byte[] bytes) = await _qemu.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal([1, 2, 3], bytes);
        await Eventually.TrueAsync(() => relay.State == GuardChannelState.HalfClosed, "half closed", Token);

        _qemu.Peer.Send(4, 5).Finish();
        (end, bytes) = await _client.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal([4, 5], bytes);
        await EndedAsync(relay, RelayEnding.Closed);
    }

    [Fact]
    public async Task A_QEMU_that_does_not_read_stops_the_client_and_nothing_is_lost()
    {
        Join();
        _client.Peer.Socket.Blocking = false;
        byte[] chunk = RandomNumberGenerator.GetBytes(1 << 16);
        long sent = 0;

        // Full when nothing has been taken for as long as a relay that takes would need to empty much more.
        for (int refusals = 0; refusals < 200;)
        {
            try
            {
                sent += _client.Peer.Socket.Send(chunk.AsSpan((int)(sent % chunk.Length)));
                refusals = 0;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
            {
                refusals++;
                await Task.Delay(1, Token);
            }

            Assert.InRange(sent, 0, 64 << 20);
        }

        _client.Peer.Finish();
        (PeerEnd end, byte[] bytes) = await _qemu.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal(sent, bytes.Length);
        for (long i = 0; i < sent; i += 4093)
            Assert.Equal(chunk[i % chunk.Length], bytes[i]);
    }

    [Fact]
    public async Task A_client_that_vanishes_closes_QEMUs_side_at_once()
    {
        ChannelRelay relay = Join();

        _client.Peer.Reset();

        Assert.Equal(PeerEnd.Closed, (await _qemu.Peer.ReadToEndAsync(Token)).End);
        await EndedAsync(relay, RelayEnding.ClientLost);
        Assert.NotEqual(0, relay.Errno);
    }

    [Fact]
    public async Task A_QEMU_that_dies_with_bytes_unread_resets_the_client_behind_its_last_words()
    {
        ChannelRelay relay = Join();
        _client.Peer.Send(new byte[100]);
        await Eventually.TrueAsync(() => relay.ClientBytes == 100, "QEMU's socket has them", Token);

        _qemu.Peer.Send(7, 7, 7);
        _qemu.Peer.Socket.Dispose();

        Assert.Equal([7, 7, 7], (await _client.Peer.ReadToEndAsync(Token)).Bytes);
        await EndedAsync(relay, RelayEnding.QemuLost);
        Assert.Throws<SocketException>(() => _client.Peer.Send(1));
    }

    [Fact]
    public async Task A_held_client_that_goes_is_noticed_although_it_has_bytes_unread()
    {
        ChannelRelay relay = _engine.Hold(ChannelKind.Multifd, 0, _client.Channel);

        _client.Peer.Send(1, 2, 3).Reset();

        await EndedAsync(relay, RelayEnding.ClientLost);
    }

    [Fact]
    public async Task A_held_client_loses_nothing_of_what_it_sends_meanwhile()
    {
        ChannelRelay relay = _engine.Hold(ChannelKind.Multifd, 0, _client.Channel);
        _client.Peer.Send(1, 2, 3);

        _engine.JoinQemu(relay, _qemu.Channel, 64, null);

        Assert.Equal([1, 2, 3], await _qemu.Peer.ReceiveAsync(3, Token));
        Assert.Equal(67, relay.ClientBytes);
    }

    [Fact]
    public async Task A_client_that_finishes_while_QEMU_is_being_connected_is_delivered_in_full()
    {
        ChannelRelay relay = _engine.Hold(ChannelKind.Main, 0, _client.Channel);
        relay.Claim();
        _client.Peer.Send(1, 2, 3).Finish();
        await Eventually.TrueAsync(() => relay.Client!.HasHungUp, "the end is seen", Token);

        _engine.JoinQemu(relay, _qemu.Channel, 0, null);

        Assert.Equal([1, 2, 3], (await _qemu.Peer.ReadToEndAsync(Token)).Bytes);
    }

    [Fact]
    public async Task A_tap_sees_every_byte_of_QEMU_before_the_client_does()
    {
        Tap tap = new();
        ChannelRelay relay = _engine.Hold(ChannelKind.Main, 0, _client.Channel);
        _engine.JoinQemu(relay, _qemu.Channel, 0, tap);

        _qemu.Peer.Send(1, 2, 3, 4);

        Assert.Equal([1, 2, 3, 4], await _client.Peer.ReceiveAsync(4, Token));
        Assert.Equal<byte>([1, 2, 3, 4], tap.Seen);
    }

    [Fact]
    public async Task An_aborted_relay_resets_the_client_and_gives_QEMU_a_plain_end()
    {
        ChannelRelay relay = Join();
        _client.Peer.Send(1);
        await Eventually.TrueAsync(() => relay.ClientBytes == 1, "it flows", Token);

        _engine.Abort(relay);

        Assert.Equal(PeerEnd.Reset, (await _client.Peer.ReadToEndAsync(Token)).End);
        Assert.Equal(PeerEnd.Closed, (await _qemu.Peer.ReadToEndAsync(Token)).End);
        await EndedAsync(relay, RelayEnding.Aborted);
    }

    [Fact]
    public async Task A_disposed_engine_leaves_no_socket_open()
    {
        ChannelRelay relay = Join();
        _client.Peer.Send(1);
        await Eventually.TrueAsync(() => relay.ClientBytes == 1, "it flows", Token);

        _engine.Dispose();

        Assert.Equal(RelayEnding.Aborted, relay.Ending);
        Assert.True(_client.Channel.Handle.IsClosed);
        Assert.True(_qemu.Channel.Handle.IsClosed);
        Assert.Equal(0, _engine.Relays);
    }

    private ChannelRelay Join()
    {
        ChannelRelay relay = _engine.Hold(ChannelKind.Multifd, 1, _client.Channel);
        _engine.JoinQemu(relay, _qemu.Channel, 0, null);
        return relay;
    }

    private async Task EndedAsync(ChannelRelay relay, RelayEnding ending)
    {
        await Eventually.TrueAsync(() => _ended.Contains(relay), "the end is told", Token);
        Assert.Equal(ending, relay.Ending);
        Assert.Equal(GuardChannelState.Closed, relay.State);
        await Eventually.TrueAsync(() => _engine.Relays == 0, "none is left", Token);
        Assert.True(_client.Channel.Handle.IsClosed);
    }

    private sealed class Tap : IRelayTap
    {
        internal ConcurrentQueue<byte> Seen { get; } = new();

        public void Take(ReadOnlySpan<byte> bytes)
        {
            foreach (byte b in bytes)
                Seen.Enqueue(b);
        }
    }
}
