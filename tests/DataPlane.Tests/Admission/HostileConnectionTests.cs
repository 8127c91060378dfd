using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>Every kind of stranger, each before, between and after the honest channels, which are admitted all the same.</summary>
public sealed class HostileConnectionTests
{
    private static readonly Dictionary<string, (byte[] Bytes, RefusalReason Reason)> s_talkers = new()
    {
        ["http"] = (Opening.Http, RefusalReason.Garbage),
        ["one wrong byte"] = ([0xFF], RefusalReason.Garbage),
        ["a magic with a wrong end"] = ([0x51, 0x45, 0x56, 0x00], RefusalReason.Garbage),
        ["100 bytes of garbage"] = ([.. Enumerable.Repeat((byte)0xA5, 100)], RefusalReason.Garbage),
        ["a megabyte of garbage"] = ([.. Enumerable.Repeat((byte)0xA5, 1 << 20)], RefusalReason.Garbage),
        ["main of version 2"] = (Opening.With(Opening.Main, 7, 2), RefusalReason.Version),
        ["multifd of version 2"] = (Opening.With(Opening.Multifd(0), 7, 2), RefusalReason.Version),
        ["id == N"] = (Opening.Multifd(2), RefusalReason.IdRange),
        ["id 255"] = (Opening.Multifd(255), RefusalReason.IdRange),
        ["wrong uuid"] = (Opening.Multifd(0, Guid.Empty), RefusalReason.Uuid),
        ["recovery"] = (Opening.Recovery, RefusalReason.Unexpected),
        ["page record"] = (Opening.PageRecord, RefusalReason.Unexpected),
        ["tls"] = (Opening.TlsHello, RefusalReason.TlsOnPlain),
    };

    public static TheoryData<string> Talkers() => [.. s_talkers.Keys];

    [Theory]
    [MemberData(nameof(Talkers))]
    public async Task A_talker_is_refused_for_its_reason_and_the_honest_set_is_admitted(string kind)
    {
        (var bytes, var reason) = s_talkers[kind];
        await using var door = Door.Open(Door.Expect(2));
        var strangers = 0;
        await KnockTwiceAsync();
        foreach (var honest in new[] { Opening.Multifd(1), Opening.Main, Opening.Multifd(0) })
        {
            door.Knock(honest);
            await door.TakeAsync();
            await KnockTwiceAsync();
        }

        Assert.All(door.Refusals, r => Assert.Equal(reason, r.Reason));
        Assert.Equal((3, 0), (door.Admission.Admitted, door.Admission.Undecided));

        async Task KnockTwiceAsync()
        {
            await SendAsync(door.Knock(), bytes, singly: false);
            await SendAsync(door.Knock(), bytes[..Math.Min(bytes.Length, 100)], singly: true);
            strangers += 2;
            await door.RefusedAsync(reason, strangers);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(63)]
    public async Task A_peer_that_leaves_before_it_is_decided_counts_as_closed(int bytes)
    {
        await using var door = Door.Open(Door.Expect(1));
        door.Knock(Opening.Multifd(0).AsSpan(0, bytes)).Finish();
        await door.RefusedAsync(RefusalReason.Closed, 1);
        var leaving = door.Knock(Opening.Multifd(0).AsSpan(0, bytes));
        await door.UndecidedAsync(1);
        leaving.Reset();
        await door.RefusedAsync(RefusalReason.Closed, 2);
        door.Knock(Opening.Multifd(0)).Reset(); // a whole proof before the reset: whichever comes first, nothing breaks
        door.Knock(Opening.Main);
        while ((await door.TakeAsync()).Kind != ChannelKind.Main)
        {
        }
    }

    [Theory]
    [InlineData(0, 30, RefusalReason.Silent)]
    [InlineData(2, 10, RefusalReason.Incomplete)]
    [InlineData(20, 10, RefusalReason.Incomplete)]
    public async Task A_peer_that_stops_talking_is_refused_at_its_deadline_and_not_before(int bytes, int deadline, RefusalReason reason)
    {
        await using var door = Door.Open(Door.Expect(1));
        await door.BytesAsync(door.KnockFrom("127.0.0.2", Opening.Multifd(0).AsSpan(0, bytes)), bytes);
        door.Time.Advance(TimeSpan.FromSeconds(deadline - 0.1));

        // The honest ones come from another address and are decided while it is still silent.
        door.Knock(Opening.Main);
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync(2);
        Assert.Equal(1, door.Admission.Undecided);
        Assert.Empty(door.Refusals);

        door.Time.Advance(TimeSpan.FromSeconds(0.1));
        await door.RefusedAsync(reason, 1);
        Assert.Equal(0, door.Admission.Undecided);
    }

    [Fact]
    public async Task A_byte_does_not_buy_more_time()
    {
        await using var door = Door.Open(Door.Expect(1));
        var slow = door.Knock();
        for (var i = 1; i <= 10; i++)
        {
            slow.Send(Opening.Multifd(0)[i - 1]);
            await door.BytesAsync(slow, i);
            door.Time.Advance(TimeSpan.FromSeconds(1));
        }

        await door.RefusedAsync(RefusalReason.Incomplete, 1);
    }

    [Fact]
    public async Task An_admitted_channel_gives_the_silent_ones_of_its_own_address_more_time()
    {
        await using var door = Door.Open(Door.Expect(1));
        var main = door.Knock();
        door.KnockFrom("127.0.0.2");
        await door.UndecidedAsync(2);
        door.Time.Advance(TimeSpan.FromSeconds(20));
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync();

        door.Time.Advance(TimeSpan.FromSeconds(20));
        await door.RefusedAsync(RefusalReason.Silent, 1);
        Assert.StartsWith("127.0.0.2:", door.Refusals.Single().Peer, StringComparison.Ordinal);
        main.Send(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    [Fact]
    public async Task Past_the_limit_per_peer_its_oldest_silent_one_goes()
    {
        await using var door = Door.Open(Door.Expect(0) with { MaxUndecided = 8, MaxUndecidedPerPeer = 3 });
        var talking = door.Knock(Opening.Main.AsSpan(0, 1));
        await door.UndecidedAsync(1);
        var oldest = door.Knock();
        await door.UndecidedAsync(2);
        door.Knock();
        await door.UndecidedAsync(3);
        door.Knock();
        await door.RefusedAsync(RefusalReason.Evicted, 1);
        Assert.Equal(oldest.Socket.LocalEndPoint!.ToString(), door.Refusals.Single().Peer);
        talking.Send(Opening.Main.AsSpan(1));
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    [Fact]
    public async Task Past_the_limit_in_all_the_address_that_holds_most_pays()
    {
        await using var door = Door.Open(Door.Expect(0) with { MaxUndecided = 6, MaxUndecidedPerPeer = 5 });
        var honest = door.Knock();
        await door.UndecidedAsync(1);
        for (var i = 0; i < 5; i++)
        {
            door.KnockFrom("127.0.0.2");
        }

        await door.UndecidedAsync(6);
        for (var i = 0; i < 20; i++)
        {
            door.KnockFrom("127.0.0.3");
        }

        await door.RefusedAsync(RefusalReason.Evicted, 20);
        Assert.Contains(door.Refusals, r => r.Peer.StartsWith("127.0.0.2:", StringComparison.Ordinal));
        honest.Send(Opening.Main);
        var admitted = (await door.TakeAsync()).Channel.Peer;
        Assert.Equal(honest.Socket.LocalEndPoint!.ToString(), admitted);
    }

    [Fact]
    public async Task Where_there_is_no_room_a_connection_that_speaks_at_once_needs_none()
    {
        await using var door = Door.Open(Door.Expect(1) with { MaxUndecided = 4, MaxUndecidedPerPeer = 4 });
        for (var i = 0; i < 3; i++)
        {
            door.KnockFrom($"127.0.0.{i + 2}");
        }

        await door.UndecidedAsync(3);
        using (door.Hold())
        {
            door.KnockFrom("127.0.0.9"); // the last place
            door.Knock(Opening.Main);
            door.Knock(Opening.Multifd(0));
        }

        await door.TakeAsync(2);
        Assert.DoesNotContain(door.Refusals, r => r.Reason == RefusalReason.Evicted);
        Assert.Equal(4, door.Admission.Undecided);
    }

    [Fact]
    public async Task A_thousand_silent_ones_delay_nobody()
    {
        await using var door = Door.Open(Door.Expect(2) with { MaxUndecided = 2000, MaxUndecidedPerPeer = 1500 });
        for (var i = 0; i < 1000; i++)
        {
            door.Knock();
        }

        await door.UndecidedAsync(1000);
        door.Knock(Opening.Main);
        door.Knock().SendSingly(Opening.Multifd(0));
        door.Knock(Opening.Multifd(1));
        await door.TakeAsync(3);
        door.Time.Advance(TimeSpan.FromSeconds(30));
        await door.RefusedAsync(RefusalReason.Silent, 1000);
    }

    private static async Task SendAsync(ScriptedPeer peer, byte[] bytes, bool singly)
    {
        try
        {
            // On another thread: the door stops reading at its decision, and a large send then ends by a reset.
            await Task.Run(() => singly ? peer.SendSingly(bytes) : peer.Send(bytes));
        }
        catch (System.Net.Sockets.SocketException)
        {
            // Refused before everything was sent.
        }
    }
}
