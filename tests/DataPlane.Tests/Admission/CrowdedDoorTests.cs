using DataPlane.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>Who goes where there is no room for all, and that it is not a connection which a source rightly leaves silent.</summary>
public sealed class CrowdedDoorTests
{
    [Fact]
    public async Task Halves_of_proofs_do_not_cost_the_source_at_the_same_address_its_silent_main_channel()
    {
        await using var door = Small(0, 9);
        await CrowdAsync(door, 6, "127.0.0.2", "127.0.0.3");
        var oldest = door.Knock(Opening.Main.AsSpan(0, 2));
        await door.BytesAsync(oldest, 2);
        await door.BytesAsync(door.Knock(Opening.Multifd(0).AsSpan(0, 2)), 2);
        await door.BytesAsync(door.Knock(Opening.Main.AsSpan(0, 8)), 8);

        var main = door.Knock(); // its address has most now, and nobody else there is silent

        await EvictedAsync(door, oldest);
        await TakenAsync(door, main, Opening.Main);
    }

    [Fact]
    public async Task Silent_strangers_do_not_cost_the_source_at_the_same_address_a_channel_that_has_begun_to_speak()
    {
        await using var door = Small(0, 6);
        var main = door.Knock(Opening.Main.AsSpan(0, 8));
        await door.BytesAsync(main, 8);
        for (var i = 0; i < 20; i++)
        {
            door.Knock();
        }

        await door.RefusedAsync(RefusalReason.Evicted, 15);
        await TakenAsync(door, main, Opening.Main[8..]);
    }

    [Fact]
    public async Task Many_addresses_with_one_connection_each_do_not_drive_out_a_source_that_has_all_of_its_own()
    {
        await using var door = Small(2, 10);
        var first = door.KnockFrom("127.0.1.1");
        await door.UndecidedAsync(1);
        var main = door.Knock();
        door.Knock();
        door.Knock();
        door.Knock();
        await door.UndecidedAsync(5);
        await CrowdAsync(door, 5, [.. from i in Enumerable.Range(2, 5) select $"127.0.1.{i}"]);

        door.KnockFrom("127.0.1.7");

        await EvictedAsync(door, first);
        await TakenAsync(door, main, Opening.Main);
    }

    [Fact]
    public async Task What_has_come_from_a_connection_counts_before_it_goes()
    {
        await using var door = Small(0, 5);
        var main = door.Knock();
        await door.UndecidedAsync(1);
        await CrowdAsync(door, 3, "127.0.0.2", "127.0.0.3", "127.0.0.4");
        using (door.Hold())
        {
            // The thread takes all that wait before it looks at those that are in.
            main.Send(Opening.Main);
            door.KnockFrom("127.0.0.5");
            door.KnockFrom("127.0.0.6");
        }

        Assert.Equal(Name(main), (await door.TakeAsync()).Peer);
        Assert.DoesNotContain(door.Refusals, r => r.Reason == RefusalReason.Evicted);
    }

    [Fact]
    public async Task An_address_that_has_brought_a_multifd_channel_keeps_its_silent_main_channel()
    {
        await using var door = Small(1, 10);
        var main = door.Knock();
        await door.UndecidedAsync(1);
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync();
        await CrowdAsync(door, 4, "127.0.0.1");
        await CrowdAsync(door, 5, "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6");

        door.KnockFrom("127.0.0.7");

        Assert.StartsWith("127.0.0.2:", await EvictedAsync(door), StringComparison.Ordinal);
        await TakenAsync(door, main, Opening.Main);
    }

    [Fact]
    public async Task Whoever_has_brought_a_channel_and_fills_more_than_half_of_the_room_pays_like_any_other()
    {
        await using var door = Small(1, 10);
        door.KnockFrom("127.0.0.2", Opening.Multifd(0));
        await door.TakeAsync();
        await CrowdAsync(door, 9, "127.0.0.2");
        var main = door.Knock();
        await door.UndecidedAsync(10);

        door.KnockFrom("127.0.0.2");

        Assert.StartsWith("127.0.0.2:", await EvictedAsync(door), StringComparison.Ordinal);
        await TakenAsync(door, main, Opening.Main);
    }

    [Fact]
    public async Task An_address_of_a_set_that_was_given_up_pays_like_any_other()
    {
        await using var door = Small(1, 10);
        var oldest = door.Knock();
        await door.UndecidedAsync(1);
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync();
        await CrowdAsync(door, 4, "127.0.0.1");
        await CrowdAsync(door, 5, "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6");
        door.Admission.StartAnew();

        door.KnockFrom("127.0.0.7", Opening.Main.AsSpan(0, 1)); // a decision by the new facts

        await EvictedAsync(door, oldest);
    }

    [Fact]
    public async Task The_log_says_what_a_source_may_have_lost_for_want_of_room_whatever_else_is_refused()
    {
        CollectingLogger log = new();
        await using var door = Door.Open(Door.Expect(1) with { MaxUndecided = 12, MaxUndecidedPerPeer = 4 }, log);
        var main = door.Knock();
        await door.UndecidedAsync(1);
        await CrowdAsync(door, 3, "127.0.0.1");
        var newest = door.Knock();
        await EvictedAsync(door, main);
        Assert.False(log.Has(3114));

        newest.Finish(); // room for the next, whose bytes may come a moment after it
        await door.RefusedAsync(RefusalReason.Closed, 1);
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync();
        Assert.Contains("1 undecided connections of 127.0.0.1 were given up", log.Text(3114), StringComparison.Ordinal);
        Assert.Contains(Name(main), log.Text(3114), StringComparison.Ordinal);

        await CrowdAsync(door, 1, "127.0.0.1");
        await CrowdAsync(door, 4, "127.0.0.2");

        // More than are told of strangers, and then one of the source's address.
        var told = log.Count(3102);
        for (var i = 0; i < RefusalThrottle.Burst; i++)
        {
            door.KnockFrom("127.0.0.2");
        }

        await door.RefusedAsync(RefusalReason.Evicted, 1 + RefusalThrottle.Burst);
        Assert.Equal(told + RefusalThrottle.Burst - 1, log.Count(3102));
        door.Knock();
        await door.RefusedAsync(RefusalReason.Evicted, 2 + RefusalThrottle.Burst);
        Assert.Equal(told + RefusalThrottle.Burst, log.Count(3102));
    }

    /// <summary>A door with so many places, all of which one address may take.</summary>
    private static Door Small(int channels, int places) =>
        Door.Open(Door.Expect(channels) with { MaxUndecided = places, MaxUndecidedPerPeer = places });

    /// <summary>A connection says what was left to say, and is the next channel.</summary>
    private static async Task TakenAsync(Door door, ScriptedPeer peer, byte[] rest)
    {
        peer.Send(rest);
        Assert.Equal(Name(peer), (await door.TakeAsync()).Peer);
    }

    /// <summary>One connection alone has been refused, for want of room; returns its address.</summary>
    private static async Task<string> EvictedAsync(Door door)
    {
        await door.RefusedAsync(RefusalReason.Evicted, 1);
        return door.Refusals.Single().Peer;
    }

    private static async Task EvictedAsync(Door door, ScriptedPeer peer) => Assert.Equal(Name(peer), await EvictedAsync(door));

    /// <summary>So many silent ones, from the addresses in turn.</summary>
    private static async Task CrowdAsync(Door door, int count, params string[] addresses)
    {
        var before = door.Admission.Undecided;
        for (var i = 0; i < count; i++)
        {
            door.KnockFrom(addresses[i % addresses.Length]);
        }

        await door.UndecidedAsync(before + count);
    }

    private static string Name(ScriptedPeer peer) => peer.Socket.LocalEndPoint!.ToString()!;
}
