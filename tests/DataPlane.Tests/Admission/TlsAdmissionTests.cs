using System.Security.Authentication;
using DataPlane.Tests.Guard;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>A door where TLS ends: real handshakes with certificates of an own authority.</summary>
public sealed class TlsAdmissionTests : IAsyncLifetime, IDisposable
{
    private static readonly AdmissionOptions s_two = Door.Expect(2);

    private static readonly byte[] s_half = [.. TlsKnock.Hello.Take(200)];

    private readonly TestAuthority _authority = new();
    private TlsCredentials _credentials = null!;
    private TlsBridgeUpgrade _upgrade = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _credentials = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        _upgrade = new TlsBridgeUpgrade(_credentials, TimeProvider.System);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task What_is_inside_is_judged_as_without_TLS()
    {
        await using var door = Open();
        using var multifd = await ComeAsync(Opening.Multifd(1));
        var first = await door.TakeAsync();
        Assert.Equal((ChannelKind.Multifd, 1), (first.Kind, first.Id));
        Assert.Equal(multifd.Peer.Socket.LocalEndPoint!.ToString(), first.Peer);

        using var main = await ComeAsync(Opening.Main);
        var second = await door.TakeAsync();
        Assert.Equal(ChannelKind.Main, second.Kind);
        Assert.Equal(Opening.Main, second.Consumed.ToArray());

        using var again = await ComeAsync(Opening.Multifd(1));
        using var nonsense = await ComeAsync(Opening.Http);
        using var twice = await ComeAsync(TlsKnock.Hello);
        await door.RefusedAsync(RefusalReason.IdTaken, 1);
        await door.RefusedAsync(RefusalReason.Garbage, 1);
        await door.RefusedAsync(RefusalReason.TlsOnPlain, 1);
        Assert.Equal(0, await again.Stream.ReadAsync(new byte[1], Token));

        async Task<TlsKnock> ComeAsync(byte[] bytes) =>
            await (await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder)).SayAsync(bytes);
    }

    [Fact]
    public async Task A_session_may_be_silent_inside_until_its_deadline_and_says_its_bytes_one_at_a_time()
    {
        await using var door = Open();
        using var silent = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder);
        using var slow = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder);
        await door.StateAsync(UndecidedState.Silent, 2);
        foreach (var value in Opening.Main)
        {
            await slow.SayAsync([value]);
        }

        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);

        door.Time.Advance(s_two.UndecidedTimeout);
        await door.RefusedAsync(RefusalReason.Silent, 1);
        Assert.Equal(0, await silent.Stream.ReadAsync(new byte[1], Token));
    }

    [Fact]
    public async Task Whoever_does_not_begin_a_handshake_costs_no_more_than_without_TLS()
    {
        await using var door = Open();
        var silent = door.Knock();
        var half = door.Knock(TlsKnock.Hello.AsSpan(0, 100));
        door.Knock(Opening.Main);
        door.Knock(Opening.Http);
        door.Knock([0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x40, 0x00]); // the head of a hello that other records go on with
        await door.RefusedAsync(RefusalReason.PlainOnTls, 1);
        await door.RefusedAsync(RefusalReason.Garbage, 2);
        await door.BytesAsync(half, 100);
        Assert.Equal(2, door.Admission.Undecided);
        Assert.Equal(0, _upgrade.Count);

        door.Time.Advance(s_two.IncompleteTimeout);
        await door.RefusedAsync(RefusalReason.Incomplete, 1);
        door.Time.Advance(s_two.UndecidedTimeout - s_two.IncompleteTimeout);
        await door.RefusedAsync(RefusalReason.Silent, 1);
        await silent.ReadToEndAsync(Token);
    }

    [Fact]
    public async Task A_hello_may_come_one_byte_at_a_time()
    {
        await using var door = Open();
        var peer = door.Knock();
        peer.SendSingly(TlsKnock.Hello);
        Assert.Equal(0x16, (await peer.ReceiveAsync(1, Token))[0]); // the server's own hello
    }

    [Fact]
    public async Task A_handshake_that_stalls_ends_at_its_deadline_and_one_that_is_left_at_once()
    {
        await using var door = Open();
        var stalls = door.Knock(TlsKnock.Hello);
        await stalls.ReceiveAsync(100, Token); // the server waits for the client's second flight
        var leaves = door.Knock(TlsKnock.Hello);
        await leaves.ReceiveAsync(100, Token);
        Assert.Equal(2, door.Admission.Undecided);

        leaves.Reset();
        await door.RefusedAsync(RefusalReason.TlsHandshake, 1);
        door.Time.Advance(s_two.HandshakeTimeout - TimeSpan.FromMilliseconds(1));
        Assert.Equal(1, door.Admission.Undecided);
        door.Time.Advance(TimeSpan.FromMilliseconds(1));
        await door.RefusedAsync(RefusalReason.TlsHandshake, 2);
        await stalls.ReadToEndAsync(Token);
    }

    [Theory]
    [InlineData("no certificate")]
    [InlineData("another authority")]
    [InlineData("expired")]
    [InlineData("not yet")]
    public async Task Whoever_cannot_prove_himself_is_refused(string fault)
    {
        using TestAuthority other = new("Test authority"); // the same name, another key
        var folder = fault switch
        {
            "no certificate" => null,
            "another authority" => other.Folder,
            "expired" => _authority.NewFolder("expired", from: -20, to: -1),
            _ => _authority.NewFolder("early", from: 5),
        };
        await using var door = Open();
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            using var knock = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], folder);
            await knock.HearAsync(1);
        });
        await door.RefusedAsync(RefusalReason.TlsHandshake, 1);
        Assert.Equal(0, door.Admission.Admitted);
    }

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task Either_version_of_TLS_is_taken(SslProtocols protocol)
    {
        await using var door = Open();
        using var knock = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder, protocol);
        await knock.SayAsync(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    [Fact]
    public async Task Handshakes_at_once_are_bounded_and_the_oldest_of_a_crowd_goes()
    {
        const int Strangers = 200;
        var options = s_two with { MaxUndecided = 5000, MaxUndecidedPerPeer = 5000, MaxHandshakes = 20 };
        await using var door = Open(options);
        var first = door.Knock(TlsKnock.Hello);
        await first.ReceiveAsync(100, Token);
        for (var i = 1; i < Strangers; i++)
        {
            door.Knock(TlsKnock.Hello);
        }

        await door.RefusedAsync(RefusalReason.Evicted, Strangers - 20);
        await first.ReadToEndAsync(Token);
        Assert.Equal(20, door.Admission.Undecided);

        using var main = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder);
        await main.SayAsync(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    [Fact]
    public async Task A_thousand_that_stall_do_not_keep_an_honest_source_waiting_and_nothing_of_them_stays()
    {
        const int Strangers = 1000;
        await using (var door = Open(s_two with { MaxUndecided = 5000, MaxUndecidedPerPeer = 5000 }))
        {
            for (var i = 0; i < Strangers; i++)
            {
                door.Knock((i % 3) switch { 0 => TlsKnock.Hello, 1 => s_half, _ => [] });
            }

            using var main = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder);
            await main.SayAsync(Opening.Main);
            Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
            // A third of them begins a handshake, of which 128 may be under way beside the honest one's.
            Assert.InRange(door.Admission.Undecided, 2 * (Strangers / 3), (2 * (Strangers / 3)) + s_two.HandshakesAtOnce + 1);

            door.Time.Advance(s_two.UndecidedTimeout + s_two.UndecidedTimeout);
            await door.UndecidedAsync(0);
        }

        await Eventually.TrueAsync(() => _upgrade.Count == 0, "no session is left", Token);
    }

    [Fact]
    public async Task Those_in_a_handshake_are_evicted_as_others_are()
    {
        await using var door = Open(s_two with { MaxUndecided = 10, MaxUndecidedPerPeer = 4 });
        var first = door.Knock(TlsKnock.Hello);
        await first.ReceiveAsync(100, Token);
        for (var i = 0; i < 2; i++)
        {
            await door.Knock(TlsKnock.Hello).ReceiveAsync(100, Token);
        }

        using (door.Hold())
        {
            // Their bytes are there when they are accepted: a silent one would go itself.
            door.Knock(TlsKnock.Hello);
            door.Knock(TlsKnock.Hello);
        }

        await door.RefusedAsync(RefusalReason.Evicted, 1);
        await first.ReadToEndAsync(Token);
    }

    [Fact]
    public async Task A_crowd_of_many_addresses_does_not_drive_an_honest_source_out()
    {
        await using var door = Open(s_two with { MaxHandshakes = 20 });
        var first = await StallAsync("127.0.1.1");
        List<ScriptedPeer> honest = [await StallAsync("127.0.0.1"), await StallAsync("127.0.0.1"), await StallAsync("127.0.0.1")];
        for (var i = 2; i <= 17; i++)
        {
            await StallAsync($"127.0.1.{i}");
        }

        Assert.Equal(20, door.Admission.Undecided);

        // The source's address has most, and its handshakes are among the oldest. But no address has more than a source needs.
        await StallAsync("127.0.1.18");

        await door.RefusedAsync(RefusalReason.Evicted, 1);
        Assert.Equal(first.Socket.LocalEndPoint!.ToString(), Assert.Single(door.Refusals).Peer);
        await first.ReadToEndAsync(Token);

        async Task<ScriptedPeer> StallAsync(string address)
        {
            var peer = door.KnockFrom(address, TlsKnock.Hello);
            await peer.ReceiveAsync(100, Token);
            return peer;
        }
    }

    [Fact]
    public async Task One_that_finds_only_mains_handshakes_is_closed_before_its_own_begins()
    {
        await using var door = Open(s_two with { MaxHandshakes = 8 });
        using var main = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder);
        await main.SayAsync(Opening.Main);
        await door.TakeAsync();
        for (var i = 0; i < 8; i++)
        {
            await door.Knock(TlsKnock.Hello).ReceiveAsync(100, Token);
        }

        var stranger = door.KnockFrom("127.0.1.1", TlsKnock.Hello);

        Assert.Empty((await stranger.ReadToEndAsync(Token)).Bytes);
        await door.RefusedAsync(RefusalReason.Evicted, 1);
        Assert.Equal(8, door.Admission.Undecided);
    }

    [Fact]
    public async Task One_that_is_refused_is_closed_at_once_however_busy_the_threads_of_handshakes_are()
    {
        using StuckUpgrade stuck = new();
        await using var door = Door.Open(s_two with { Upgrade = stuck });
        var peer = door.Knock(TlsKnock.Hello);
        await Eventually.TrueAsync(() => stuck.Begun == 1, "its handshake has begun", Token);
        door.Time.Advance(s_two.HandshakeTimeout);
        await door.RefusedAsync(RefusalReason.TlsHandshake, 1);
        await peer.ReadToEndAsync(Token);
    }

    [Fact]
    public async Task A_door_that_closes_ends_the_handshakes_in_it()
    {
        var door = Open();
        using var peer = ScriptedPeer.Connect(door.Admission.LocalAddresses[0]);
        peer.Send(TlsKnock.Hello);
        await peer.ReceiveAsync(100, Token);
        await door.DisposeAsync();
        await peer.ReadToEndAsync(Token);
        Assert.Equal(1, door.Admission.Refused[RefusalReason.Stopped]);
    }

    public async ValueTask DisposeAsync()
    {
        await _upgrade.DisposeAsync();
        Dispose();
    }

    public void Dispose()
    {
        _credentials.Dispose();
        _authority.Dispose();
    }

    /// <summary>An upgrade whose threads get to nothing, not even to what was cancelled.</summary>
    private sealed class StuckUpgrade : IChannelUpgrade
    {
        private int _begun;

        internal int Begun => Volatile.Read(ref _begun);

        public Task<UpgradedConnection> UpgradeAsync(
            System.Net.Sockets.SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _begun);
            return new TaskCompletionSource<UpgradedConnection>().Task;
        }

        public void Dispose()
        {
        }
    }

    private Door Open(AdmissionOptions? options = null) => Door.Open((options ?? s_two) with { Upgrade = _upgrade });
}
