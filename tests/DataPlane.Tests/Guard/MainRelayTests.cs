using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography;
using DataPlane.Guard;
using DataPlane.Guard.Relay;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Main channels: their return path is read on the way, on another thread than their pages.</summary>
public sealed class MainRelayTests : RelayScene
{
    [Fact]
    public async Task A_tap_sees_every_byte_of_QEMU_before_the_client_does()
    {
        Tap tap = new();
        JoinMain(tap);

        Qemu.Peer.Send(1, 2, 3, 4);

        Assert.Equal([1, 2, 3, 4], await Client.Peer.ReceiveAsync(4, Token));
        Assert.Equal<byte>([1, 2, 3, 4], tap.Seen);
    }

    [Fact]
    public async Task The_return_path_of_main_passes_while_QEMU_does_not_read_and_both_ends_pass_when_it_does()
    {
        var relay = JoinMain(new Tap());
        var there = RandomNumberGenerator.GetBytes(8_000_000);
        var back = RandomNumberGenerator.GetBytes(200_000);
        var sending = Task.Run(() => Client.Peer.Send(there).Finish(), Token);
        await Eventually.TrueAsync(() => relay.ClientBytes > 0, "it flows", Token);

        Qemu.Peer.Send(back).Finish();
        (var end, var bytes) = await Client.Peer.ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.True(back.AsSpan().SequenceEqual(bytes));
        await Eventually.TrueAsync(() => relay.State == GuardChannelState.HalfClosed, "half closed", Token);

        (end, bytes) = await Qemu.Peer.ReadToEndAsync(Token);
        await sending;
        Assert.Equal(PeerEnd.Closed, end);
        Assert.True(there.AsSpan().SequenceEqual(bytes));
        await EndedAsync(relay, RelayEnding.Closed);
    }

    [Fact]
    public async Task The_last_words_on_the_return_path_are_seen_before_the_end_is_told()
    {
        Tap tap = new();
        var seenAtTheEnd = -1;
        Told = _ => seenAtTheEnd = tap.Seen.Count;
        var relay = JoinMain(tap);
        Client.Peer.Send(new byte[100]);
        await Eventually.TrueAsync(() => relay.ClientBytes == 100, "QEMU's socket has them", Token);

        Qemu.Peer.Send(7, 7, 7);
        Qemu.Peer.Socket.Dispose();

        Assert.Equal([7, 7, 7], (await Client.Peer.ReadToEndAsync(Token)).Bytes);
        await EndedAsync(relay, RelayEnding.QemuLost);
        Assert.Equal(3, seenAtTheEnd);
    }

    [Fact]
    public async Task A_main_channel_whose_client_vanishes_ends_on_both_threads()
    {
        var relay = JoinMain(new Tap());

        Client.Peer.Reset();

        Assert.Equal(PeerEnd.Closed, (await Qemu.Peer.ReadToEndAsync(Token)).End);
        await EndedAsync(relay, RelayEnding.ClientLost);
        Assert.NotEqual(0, relay.Errno);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_main_channel_in_full_swing_can_be_ended_at_any_time(bool byDispose)
    {
        var relay = JoinMain(new Tap());
        Task[] peers = [Swing(Client.Peer.Socket), Swing(Qemu.Peer.Socket)];
        await Eventually.TrueAsync(() => relay.ClientBytes > 1 << 20 && relay.QemuBytes > 1 << 20, "it flows both ways", Token);

        if (byDispose)
        {
            Engine.Dispose();
        }
        else
        {
            Engine.Abort(relay);
        }

        await EndedAsync(relay, RelayEnding.Aborted);
        await Task.WhenAll(peers);
    }

    private ChannelRelay JoinMain(IRelayTap tap)
    {
        var relay = Engine.Hold(ChannelKind.Main, 0, Client.Channel);
        Engine.JoinQemu(relay, Qemu.Channel, 0, tap);
        return relay;
    }

    /// <summary>Sends and receives until the connection breaks.</summary>
    private static Task Swing(Socket socket)
    {
        void Repeat(Func<int> step)
        {
            try
            {
                while (step() > 0)
                {
                    // As fast as it goes.
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // It broke.
            }
        }

        var bytes = new byte[1 << 16];
        return Task.WhenAll(
            Task.Run(() => Repeat(() => socket.Send(bytes)), Token),
            Task.Run(() => Repeat(() => socket.Receive(new byte[1 << 16])), Token));
    }

    private sealed class Tap : IRelayTap
    {
        internal ConcurrentQueue<byte> Seen { get; } = new();

        public void Take(ReadOnlySpan<byte> bytes)
        {
            foreach (var b in bytes)
            {
                Seen.Enqueue(b);
            }
        }
    }
}
