using System.Collections.Concurrent;
using System.Security.Cryptography;
using DataPlane.Guard.Relay;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>What a relay tells of the end of a client's stream.</summary>
public sealed class RelayTailTests : IAsyncLifetime
{
    private readonly ConcurrentQueue<Exception> _failures = new();
    private readonly RelayEngine _engine;
    private ChannelPair _client = null!;
    private ChannelPair _qemu = null!;

    public RelayTailTests() => _engine = new RelayEngine(2, _ => { }, _failures.Enqueue);

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
    public async Task Who_watches_the_end_sees_the_last_bytes_of_each_piece_and_nothing_is_changed()
    {
        var there = RandomNumberGenerator.GetBytes(5_000_000);
        var relay = _engine.Hold(ChannelKind.Main, 0, _client.Channel);
        LastBytes tail = new();
        _engine.JoinQemu(relay, _qemu.Channel, 0, null, tail);

        var sending = Task.Run(() => _client.Peer.Send(there), Token);
        var arrived = await _qemu.Peer.ReceiveAsync(there.Length, Token);
        await sending;

        Assert.True(there.AsSpan().SequenceEqual(arrived));
        Assert.Equal(there[^tail.Length..], tail.Last);
        _client.Peer.Send(7);
        Assert.Equal([7], await _qemu.Peer.ReceiveAsync(1, Token));
        Assert.Equal([7], tail.Last);
    }

    [Fact]
    public async Task A_held_client_that_has_finished_is_kept_if_it_has_sent_something_and_lost_if_not()
    {
        var relay = _engine.Hold(ChannelKind.Multifd, 0, _client.Channel);
        _client.Peer.Send(1, 2, 3).Finish();
        await Eventually.TrueAsync(() => relay.Client!.HasHungUp, "its end is seen", Token);
        await using var silent = await ChannelPair.ConnectAsync(Token);
        var other = _engine.Hold(ChannelKind.Multifd, 1, silent.Channel);
        silent.Peer.Finish();
        await Eventually.TrueAsync(() => other.Ending == RelayEnding.ClientLost, "it is lost", Token);

        _engine.JoinQemu(relay, _qemu.Channel, 64, null);
        Assert.Equal([1, 2, 3], (await _qemu.Peer.ReadToEndAsync(Token)).Bytes);
    }

    private sealed class LastBytes : IStreamTail
    {
        private volatile byte[] _last = [];

        public int Length => 14;

        internal byte[] Last => _last;

        public void Take(ReadOnlySpan<byte> last) => _last = last.ToArray();
    }
}
