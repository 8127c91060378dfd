using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>Main and preempt again, after a postcopy migration has lost its connections.</summary>
public sealed class RecoveryAdmissionTests
{
    /// <summary>Where a page is that a source owes from a lost link.</summary>
    private const long Owed = 0x5000;

    private readonly ScriptedHost _host = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Once_expected_a_recovered_main_and_a_preempt_channel_are_let_in_and_multifd_stays_shut()
    {
        await using var door = Open();
        door.Knock(Opening.Main);
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync(2);
        _host.Request(0x1234000);
        door.Knock(Opening.PageRecord);
        await door.TakeAsync();

        for (var pause = 0; pause < 2; pause++)
        {
            _host.IsPaused = true;
            door.Admission.ExpectRecovery();
            door.Knock(Opening.Main);
            await door.RefusedAsync(RefusalReason.SecondMain, (3 * pause) + 1);
            door.Knock(Opening.Multifd(1));
            await door.RefusedAsync(RefusalReason.NoMultifd, pause + 1);
            var early = door.Knock();

            door.Knock().SendSingly(Opening.Recovery).Send(9, 9);
            var main = await door.TakeAsync();
            Assert.Equal((ChannelKind.Main, true), (main.Kind, main.Recovered));
            var read = await main.Channel.Input.ReadAtLeastAsync(Opening.Recovery.Length + 2, Token);
            Assert.Equal([.. Opening.Recovery, 9, 9], read.Buffer.ToArray());
            door.Knock(Opening.Recovery);
            await door.RefusedAsync(RefusalReason.SecondMain, (3 * pause) + 2);

            door.Time.Advance(TimeSpan.FromHours(1)); // the early candidate may wait as long as the migration does
            await door.StateAsync(UndecidedState.Candidate, 1);
            early.Send(Opening.PageRecord);
            var preempt = await door.TakeAsync();
            Assert.Equal((ChannelKind.Preempt, true), (preempt.Kind, preempt.Recovered));

            _host.IsPaused = false;
            door.Knock(Opening.Main);
            await door.RefusedAsync(RefusalReason.SecondMain, (3 * pause) + 3);
            door.Knock(Opening.Recovery);
            await door.RefusedAsync(RefusalReason.Unexpected, pause + 1);
        }

        Assert.Equal(3 + 4, door.Admission.Admitted);
    }

    /// <summary>A QEMU 7.2 that is refused once never comes again.</summary>
    [Fact]
    public async Task A_recovery_that_is_judged_while_the_host_notices_the_loss_is_not_refused()
    {
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        _host.MayBePaused = true;
        _host.OnMayBePaused = () =>
        {
            _host.OnMayBePaused = null;
            door.Admission.ExpectRecovery();
            _host.IsPaused = true;
        };

        door.Knock(Opening.Recovery);

        Assert.True((await door.TakeAsync()).Recovered);
        Assert.All(door.Admission.Refused, static entry => Assert.Equal(0, entry.Value));
    }

    [Fact]
    public async Task A_paused_destination_that_is_met_for_the_first_time_can_be_recovered()
    {
        await using var door = Open();
        _host.IsPaused = true;
        door.Admission.ExpectRecovery();
        door.Knock(Opening.Main);
        await door.RefusedAsync(RefusalReason.SecondMain, 1);
        door.Knock(Opening.Recovery);
        Assert.True((await door.TakeAsync()).Recovered);
    }

    [Fact]
    public async Task Candidates_of_the_lost_connection_get_a_deadline_and_records_wait_for_the_new_main()
    {
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        door.Knock();
        await door.UndecidedAsync(1);
        door.Time.Advance(TimeSpan.FromHours(1));
        await door.StateAsync(UndecidedState.Candidate, 1);

        _host.IsPaused = true;
        _host.Request(0x1234000);
        door.Admission.ExpectRecovery();
        await door.StateAsync(UndecidedState.Silent, 1);
        door.Knock(Opening.PageRecord);
        await door.HeldAsync(1);
        door.Knock(Opening.Recovery);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
        Assert.Equal(ChannelKind.Preempt, (await door.TakeAsync()).Kind);
        door.Time.Advance(TimeSpan.FromSeconds(30));
        await door.RefusedAsync(RefusalReason.Silent, 1);
    }

    [Fact]
    public async Task An_end_alone_of_mains_peer_has_no_deadline_until_the_link_is_lost()
    {
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        door.Knock(Opening.End);
        await door.HeldAsync(1);
        for (var hours = 0; hours < 3; hours++)
        {
            door.Time.Advance(TimeSpan.FromHours(1));
            var other = door.Knock(Opening.Http); // proves that the thread has been round
            await door.RefusedAsync(RefusalReason.Garbage, hours + 1);
        }

        await door.HeldAsync(1);
        door.Admission.ExpectRecovery();
        await Eventually.TrueAsync(() =>
        {
            door.Time.Advance(TimeSpan.FromSeconds(30));
            return door.Admission.Undecided == 0;
        }, "it goes", Token);
    }

    [Fact]
    public async Task Before_the_host_has_noticed_the_loss_recoveries_of_mains_peer_are_held_and_the_latest_is_taken()
    {
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        door.Knock(Opening.Recovery);
        await door.RefusedAsync(RefusalReason.Unexpected, 1); // nothing can be lost yet

        _host.MayBePaused = true;
        door.Knock(Opening.Recovery);
        await door.HeldAsync(1);
        var latest = door.Knock(Opening.Recovery);
        await door.HeldAsync(2);
        door.Admission.ExpectRecovery();
        _host.IsPaused = true;
        door.Admission.Recheck();

        var main = await door.TakeAsync();
        Assert.True(main.Recovered);
        Assert.Equal(latest.Socket.LocalEndPoint!.ToString(), main.Peer);
        await door.RefusedAsync(RefusalReason.SecondMain, 1);
    }

    [Fact]
    public async Task Before_the_host_has_noticed_the_loss_a_page_of_the_next_link_is_held_beside_the_old_preempt_channel()
    {
        await using var door = Open(channels: 0);
        await MainAndPreemptAsync(door);
        _host.MayBePaused = true;
        var owed = door.Knock(Opening.Record(Owed, Opening.PageFlag));
        await door.HeldAsync(1);
        door.Knock(Opening.Recovery);
        await door.HeldAsync(2);

        _host.Request(Owed);
        door.Admission.ExpectRecovery();
        _host.IsPaused = true;
        door.Admission.Recheck();

        var main = await door.TakeAsync();
        Assert.Equal((ChannelKind.Main, true), (main.Kind, main.Recovered));
        var preempt = await door.TakeAsync();
        Assert.Equal((ChannelKind.Preempt, true), (preempt.Kind, preempt.Recovered));
        Assert.Equal(owed.Socket.LocalEndPoint!.ToString(), preempt.Peer);
    }

    [Fact]
    public async Task A_page_whose_source_has_closed_its_channel_is_of_the_lost_link_and_takes_no_place_in_the_next()
    {
        await using var door = Open(channels: 0);
        await MainAndPreemptAsync(door);
        _host.MayBePaused = true;
        var lost = door.Knock(Opening.Record(Owed, Opening.PageFlag));
        await door.HeldAsync(1);
        lost.Socket.Dispose();
        _host.Request(Owed);
        door.Admission.ExpectRecovery();
        _host.IsPaused = true;

        door.Knock(Opening.Recovery);

        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
        await door.RefusedAsync(RefusalReason.Closed, 1);
        var owed = door.Knock(Opening.Record(Owed, Opening.PageFlag));
        Assert.Equal(owed.Socket.LocalEndPoint!.ToString(), (await door.TakeAsync()).Peer);
    }

    [Fact]
    public async Task A_recovery_whose_source_has_closed_it_gives_way_to_one_that_lives()
    {
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        _host.MayBePaused = true;
        var living = door.Knock(Opening.Recovery);
        await door.HeldAsync(1);
        var closed = door.Knock(Opening.Recovery);
        await door.HeldAsync(2);
        closed.Socket.Dispose();

        door.Admission.ExpectRecovery();
        _host.IsPaused = true;
        door.Admission.Recheck();

        Assert.Equal(living.Socket.LocalEndPoint!.ToString(), (await door.TakeAsync()).Peer);
        await door.RefusedAsync(RefusalReason.Closed, 1);
    }

    [Fact]
    public async Task A_page_beside_a_preempt_channel_goes_after_three_seconds_from_its_first_byte_when_no_recovery_comes()
    {
        await using var door = Open(channels: 0);
        await MainAndPreemptAsync(door);
        _host.MayBePaused = true;
        door.Knock(Opening.Record(Owed, Opening.PageFlag));
        await door.HeldAsync(1);
        var half = door.Knock(Opening.Record(Owed, Opening.PageFlag).AsSpan(0, 3));
        await door.BytesAsync(half, 3);
        var slow = door.Knock(Opening.Record(Owed, Opening.PageFlag).AsSpan(0, 3));
        await door.BytesAsync(slow, 3);
        door.Time.Advance(TimeSpan.FromSeconds(2));
        slow.Send(Opening.Record(Owed, Opening.PageFlag).AsSpan(3));
        await door.HeldAsync(2);

        door.Time.Advance(TimeSpan.FromSeconds(1));

        await door.RefusedAsync(RefusalReason.LostCandidacy, 2);
        await door.RefusedAsync(RefusalReason.Incomplete, 1);
    }

    [Fact]
    public async Task A_recovery_that_is_expected_gives_such_a_page_the_time_of_any_other()
    {
        await using var door = Open(channels: 0);
        await MainAndPreemptAsync(door);
        _host.MayBePaused = true;
        door.Knock(Opening.Record(Owed, Opening.PageFlag));
        await door.HeldAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(2));

        door.Admission.ExpectRecovery();
        door.Knock(Opening.Main); // proves that the thread has been round
        await door.RefusedAsync(RefusalReason.SecondMain, 1);
        door.Time.Advance(TimeSpan.FromSeconds(9));
        door.Knock(Opening.Http);
        await door.RefusedAsync(RefusalReason.Garbage, 1);
        await door.HeldAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(1));
        await door.RefusedAsync(RefusalReason.BadPreempt, 1);
    }

    [Fact]
    public async Task Beside_a_preempt_channel_nothing_is_held_that_cannot_be_of_the_next_link()
    {
        await using var door = Open(channels: 0);
        await MainAndPreemptAsync(door);
        door.Knock(0); // nothing can be lost yet
        await door.RefusedAsync(RefusalReason.LostCandidacy, 1);
        _host.MayBePaused = true;
        door.KnockFrom("127.0.0.2", 0);
        await door.RefusedAsync(RefusalReason.LostCandidacy, 2);
        door.Knock(Opening.End);
        await door.RefusedAsync(RefusalReason.LostCandidacy, 3);
        door.Knock(Opening.Record(Owed, Opening.PageFlag, "nowhere"));
        await door.RefusedAsync(RefusalReason.LostCandidacy, 4);
        door.Knock(Opening.Record(Owed, Opening.PageFlag));
        await door.HeldAsync(1);
        _host.MayBePaused = false;
        door.Admission.Recheck();
        await door.RefusedAsync(RefusalReason.LostCandidacy, 5);
    }

    [Fact]
    public async Task A_recovery_that_nothing_comes_of_goes_at_its_deadline()
    {
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        _host.MayBePaused = true;
        door.Knock(Opening.Recovery);
        await door.HeldAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(60));
        await door.RefusedAsync(RefusalReason.Unexpected, 1);
    }

    [Fact]
    public async Task A_host_that_cannot_say_whether_it_chooses_holds_one_connection_and_closes_no_door()
    {
        await using var door = Open(channels: 0);
        _host.IsPaused = true;
        _host.CannotChoose = true;
        door.Admission.ExpectRecovery();
        door.Knock(Opening.Recovery);
        await door.HeldAsync(1);
        _host.CannotChoose = false;
        door.Admission.Recheck();
        Assert.True((await door.TakeAsync()).Recovered);
    }

    [Fact]
    public async Task However_many_recoveries_a_host_chooses_among_none_is_let_in_inside_the_admission_of_another()
    {
        const int Count = 64;
        await using var door = Open(channels: 0);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        _host.MayBePaused = true;
        _host.ChoosesRecovery = true;
        for (var i = 0; i < Count; i++)
        {
            door.Knock(Opening.Recovery);
        }

        await door.HeldAsync(Count);
        ConcurrentBag<int> depths = [];
        _host.OnBlock = () => depths.Add(new StackTrace().FrameCount);
        door.Admission.ExpectRecovery();
        _host.IsPaused = true;
        door.Admission.Recheck();

        await door.TakeAsync(Count);
        Assert.Equal(Count, depths.Count);
        Assert.InRange(depths.Max() - depths.Min(), 0, Count / 2); // not equal: the runtime may inline a method at any time
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_main_channel_that_is_confirmed_and_given_up_has_no_place_in_the_next_set(bool late)
    {
        await using var door = Open(channels: 0);
        _host.ChoosesRecovery = true;
        _host.IsPaused = true;
        door.Admission.ExpectRecovery();
        door.Knock(Opening.Recovery);
        var confirmed = await door.TakeAsync();
        _host.IsPaused = false;
        using (door.Hold())
        {
            if (!late)
            {
                door.Admission.ConfirmMain(confirmed);
            }

            door.Admission.StartAnew();
            if (late)
            {
                door.Admission.ConfirmMain(confirmed);
            }
        }

        door.Knock(Opening.Main);
        var main = await door.TakeAsync();
        Assert.Equal((ChannelKind.Main, false), (main.Kind, main.Recovered));
    }

    [Theory]
    [InlineData(new byte[] { 0x08, 0x00, 0x0A, 0x00, 0x07, 0x05 })] // the lengths disagree
    [InlineData(new byte[] { 0x08, 0x00, 0x0A, 0x00, 0x01, 0x00 })] // no name
    [InlineData(new byte[] { 0x08, 0x00, 0x0A, 0xFF, 0xFF, 0xFE })] // longer than any name
    [InlineData(new byte[] { 0x08, 0x00, 0x0A, 0x00, 0x04, 0x03, (byte)'r', (byte)'o', (byte)'m' })] // no such block
    public async Task A_malformed_recovery_is_refused_at_its_first_wrong_byte(byte[] opening)
    {
        await using var door = Open();
        _host.IsPaused = true;
        door.Admission.ExpectRecovery();
        var peer = door.Knock().SendSingly(opening.AsSpan(0, opening.Length - 1));
        await door.BytesAsync(peer, opening.Length - 1);
        Assert.Empty(door.Refusals);
        peer.Send(opening[^1]);
        await door.RefusedAsync(RefusalReason.BadRecovery, 1);
        door.Knock(opening);
        await door.RefusedAsync(RefusalReason.BadRecovery, 2);
        door.Knock(Opening.Recovery);
        Assert.True((await door.TakeAsync()).Recovered);
    }

    private async Task MainAndPreemptAsync(Door door)
    {
        door.Knock(Opening.Main);
        await door.TakeAsync();
        _host.Request(0x1234000);
        door.Knock(Opening.PageRecord);
        Assert.Equal(ChannelKind.Preempt, (await door.TakeAsync()).Kind);
    }

    private Door Open(int channels = 1) => Door.Open(Door.Expect(channels) with { Preempt = true }, _host);
}
