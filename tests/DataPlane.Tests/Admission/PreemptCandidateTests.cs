using System.Buffers;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>
/// The preempt channel among any number of silent connections: found by the page that was asked for, and by nothing else.
/// </summary>
public sealed class PreemptCandidateTests
{
    private const long Page = 0x1234000;

    private readonly ScriptedHost _host = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("pms")]
    [InlineData("mps")]
    [InlineData("psm")]
    [InlineData("spm")]
    public async Task Early_or_late_the_silent_connection_that_sends_the_page_asked_for_is_preempt(string order)
    {
        await using var door = Open();
        Dictionary<char, ScriptedPeer> peers = [];
        foreach (var who in order)
        {
            peers[who] = door.Knock(who == 'm' ? Opening.Main : []);
            if (who == 'm')
            {
                Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
            }
        }

        _host.Request(Page);
        peers['p'].SendSingly(Opening.PageRecord).Send(7, 7, 7);
        var preempt = await door.TakeAsync();
        Assert.Equal((ChannelKind.Preempt, false, Name(peers['p'])), (preempt.Kind, preempt.Recovered, preempt.Peer));
        Assert.True(preempt.Consumed.Span.StartsWith(Opening.PageRecord));
        var read = await preempt.Channel.Input.ReadAtLeastAsync(Opening.PageRecord.Length + 3, Token);
        Assert.Equal([.. Opening.PageRecord, 7, 7, 7], read.Buffer.ToArray());
        Assert.Equal(1, door.Admission.Undecided); // the silent one is nobody's business
        Assert.Empty(door.Refusals);
    }

    [Fact]
    public async Task A_record_of_a_zero_page_and_one_with_the_longest_name_are_proofs_as_well()
    {
        string name = new('b', 255);
        foreach (var record in new[] { Opening.Record(Page, Opening.ZeroFlag), Opening.Record(0, Opening.PageFlag, name) })
        {
            await using var door = Open();
            await MainAsync(door);
            _host.Request(Page).Request(0, name);
            door.Knock().SendSingly(record);
            Assert.Equal(ChannelKind.Preempt, (await door.TakeAsync()).Kind);
        }
    }

    public static TheoryData<string> FalseRecords() => [.. s_falseRecords.Keys];

    private static readonly Dictionary<string, byte[]> s_falseRecords = new()
    {
        ["a page nobody asked for"] = Opening.Record(Page + 4096, Opening.PageFlag),
        ["an unknown block"] = Opening.Record(Page, Opening.PageFlag, "nowhere"),
        ["beyond the block"] = Opening.Record(1L << 55, Opening.PageFlag),
        ["continue"] = Opening.Record(Page, 0x28)[..8],
        ["flags of another page size"] = Opening.Record(Page | 0x800, Opening.PageFlag)[..8],
        ["the block list"] = Opening.Record(Page, 0x04)[..8],
        ["xbzrle"] = Opening.Record(Page, 0x40)[..8],
        ["compressed"] = Opening.Record(Page, 0x100)[..8],
        ["an end with an offset"] = Opening.Record(Page, 0x10)[..8],
        ["no name"] = [.. Opening.Record(Page, Opening.PageFlag)[..8], 0],
        ["zeros"] = new byte[8],
    };

    [Theory]
    [MemberData(nameof(FalseRecords))]
    public async Task A_false_record_is_refused_and_the_other_candidates_stay(string which)
    {
        var record = s_falseRecords[which];
        await using var door = Open();
        await MainAsync(door);
        var honest = door.Knock();
        _host.Request(Page);
        var stranger = door.Knock();
        stranger.SendSingly(record.AsSpan(0, record.Length - 1));
        await door.BytesAsync(stranger, record.Length - 1);
        Assert.Empty(door.Refusals); // not a byte too early
        stranger.Send(record[^1]);
        await door.RefusedAsync(RefusalReason.BadPreempt, 1);

        door.Knock(record);
        await door.RefusedAsync(RefusalReason.BadPreempt, 2);
        honest.Send(Opening.PageRecord);
        Assert.Equal(Name(honest), (await door.TakeAsync()).Peer);
    }

    [Fact]
    public async Task A_record_that_cannot_be_judged_yet_is_held_and_decided_when_the_host_can()
    {
        await using var door = Open();
        var wrong = door.Knock(Opening.Record(0, Opening.PageFlag));
        var right = door.Knock(Opening.PageRecord);
        right.Finish(); // an end after a proof does not take it back
        await door.HeldAsync(2);
        await MainAsync(door);
        await Eventually.TrueAsync(() => _host.Asked == 2, "asked once main was there", Token);
        Assert.Equal(2, door.Admission.Undecided);

        _host.Request(Page);
        door.Admission.Recheck();
        Assert.Equal(Name(right), (await door.TakeAsync()).Peer);
        await Eventually.TrueAsync(() => door.Refusals.Count == 1, "the other goes", Token);
        Assert.Equal(Name(wrong), door.Refusals.Single().Peer);
    }

    [Fact]
    public async Task A_held_connection_is_read_no_further_than_its_proof_and_goes_at_its_deadline()
    {
        await using var door = Open();
        var peer = door.Knock(Opening.Record(0, Opening.PageFlag, new string('b', 255)));
        peer.Send(new byte[4096]);
        await door.HeldAsync(1);
        Assert.Equal(8 + 1 + 255, door.Admission.Snapshot().Single().Bytes);
        door.Time.Advance(TimeSpan.FromSeconds(10));
        await door.RefusedAsync(RefusalReason.BadPreempt, 1);
    }

    [Fact]
    public async Task An_end_alone_is_held_until_the_host_finds_it_plausible()
    {
        await using var door = Open();
        await MainAsync(door);
        var ended = door.Knock(Opening.End);
        ended.Finish();
        await door.HeldAsync(1);
        door.Admission.Recheck();
        var other = door.Knock(0); // proves that the thread has been round
        await door.BytesAsync(other, 1);
        Assert.Equal(2, door.Admission.Undecided);

        _host.LoneEndIsPlausible = true;
        door.Admission.Recheck();
        var preempt = await door.TakeAsync();
        Assert.Equal((ChannelKind.Preempt, Name(ended)), (preempt.Kind, preempt.Peer));
        Assert.Equal(Opening.End, preempt.Consumed.ToArray());
        await door.RefusedAsync(RefusalReason.LostCandidacy, 1); // the one that had begun to talk
    }

    [Fact]
    public async Task The_first_proof_wins_and_the_others_are_refused_when_they_talk_or_at_their_deadline()
    {
        await using var door = Open();
        await MainAsync(door);
        var talker = door.Knock();
        door.Knock();
        await door.UndecidedAsync(2);
        door.Time.Advance(TimeSpan.FromHours(5)); // candidates have no deadline
        await door.StateAsync(UndecidedState.Candidate, 2);
        _host.Request(Page);
        door.Knock(Opening.PageRecord);
        await door.TakeAsync();
        await door.StateAsync(UndecidedState.Silent, 2);

        talker.Send(Opening.PageRecord);
        await door.RefusedAsync(RefusalReason.LostCandidacy, 1);
        door.Time.Advance(TimeSpan.FromSeconds(30));
        await door.RefusedAsync(RefusalReason.Silent, 1);
        Assert.Equal(2, door.Admission.Admitted);
    }

    [Fact]
    public async Task Before_the_set_is_complete_a_candidate_has_a_deadline_like_anyone()
    {
        await using var door = Open(channels: 1);
        await MainAsync(door);
        door.Knock();
        await door.UndecidedAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(30));
        await door.RefusedAsync(RefusalReason.Silent, 1);
    }

    [Fact]
    public async Task A_candidate_from_another_address_than_mains_is_refused_when_it_talks_and_at_its_deadline()
    {
        await using var door = Open();
        door.KnockFrom("127.0.0.2", Opening.PageRecord); // whose address main has is not known yet
        await door.HeldAsync(1);
        await MainAsync(door);
        await door.RefusedAsync(RefusalReason.ForeignPeer, 1);
        _host.Request(Page);
        door.KnockFrom("127.0.0.2", 0);
        await door.RefusedAsync(RefusalReason.ForeignPeer, 2);
        door.KnockFrom("127.0.0.2");
        await door.UndecidedAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(30));
        await door.RefusedAsync(RefusalReason.Silent, 1);
    }

    [Fact]
    public async Task Any_peer_may_bring_preempt_if_the_host_says_so()
    {
        await using var door = Door.Open(Door.Expect(0) with { Preempt = true, AnyPeer = true }, _host);
        await MainAsync(door);
        var elsewhere = door.KnockFrom("127.0.0.2");
        await door.UndecidedAsync(1);
        door.Time.Advance(TimeSpan.FromHours(1));
        await door.StateAsync(UndecidedState.Candidate, 1);
        _host.Request(Page);
        elsewhere.Send(Opening.PageRecord);
        Assert.Equal(Name(elsewhere), (await door.TakeAsync()).Peer);
    }

    [Fact]
    public async Task A_context_that_throws_holds_one_connection_and_closes_no_door()
    {
        await using var door = Open();
        _host.IsBroken = true;
        door.Knock(Opening.PageRecord);
        await MainAsync(door);
        await Eventually.TrueAsync(() => _host.Asked > 0, "asked", Token);
        await door.HeldAsync(1);
        _host.IsBroken = false;
        _host.Request(Page);
        door.Admission.Recheck();
        Assert.Equal(ChannelKind.Preempt, (await door.TakeAsync()).Kind);
    }

    private Door Open(int channels = 0) => Door.Open(Door.Expect(channels) with { Preempt = true }, _host);

    private static async Task MainAsync(Door door)
    {
        door.Knock(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    private static string Name(ScriptedPeer peer) => peer.Socket.LocalEndPoint!.ToString()!;
}
