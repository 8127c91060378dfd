using System.Net;
using DataPlane.Admission;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>What a main channel has to say before it takes its place, and what becomes of others that say the same.</summary>
public sealed class MainProofTests
{
    private static readonly PeerGroup s_peer = PeerGroup.Of(IPAddress.Loopback);

    private static readonly byte[] s_header = [0x51, 0x45, 0x56, 0x4D, 0, 0, 0, 3];
    private static readonly byte[] s_configuration = [.. s_header, 7, 0, 0, 0, 10, .. "pc-q35-7.2"u8];
    private static readonly byte[] s_section = [4, 0, 0, 0, 1, 5, .. "timer"u8, 0, 0, 0, 0, 0, 0, 0, 2];

    private static readonly byte[][] s_proofs =
    [
        [.. s_configuration, 1],
        [.. s_configuration, 4],
        [.. s_configuration, 8],
        [.. s_configuration, 5, 18, .. "configuration/uuid"u8, 0, 0, 0, 1],
        [.. s_header, .. s_section], // a machine type up to 2.3
        [.. s_header, 1, .. s_section[1..]],
        [.. s_header, 8, 0, 1, 0, 0],
    ];

    public static TheoryData<int> Proofs => [.. Enumerable.Range(0, s_proofs.Length)];

    private static AdmissionOptions Two => new() { MultifdChannels = 2 };

    [Theory]
    [MemberData(nameof(Proofs))]
    public void A_whole_proof_is_a_main_channel_and_not_a_byte_less(int index)
    {
        var proof = s_proofs[index];
        AdmissionFacts facts = new(Two, NoHost.Instance);
        for (var i = 0; i < proof.Length; i++)
        {
            Assert.Equal((i, AdmissionVerdict.Undecided), (i, Judge(proof.AsSpan(0, i), facts)));
        }

        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Main), Judge(proof, facts));
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Main), Judge([.. proof, .. new byte[200]], facts));
    }

    [Theory]
    [InlineData(9, new byte[] { 0 })] // no section has this type
    [InlineData(9, new byte[] { 2 })] // nor do pages come first
    [InlineData(9, new byte[] { 0x7E })]
    [InlineData(13, new byte[] { 7, 0, 0, 0, 0 })] // a machine without a name
    [InlineData(13, new byte[] { 7, 0, 0, 1, 0 })] // one with a name of 256 bytes
    [InlineData(13, new byte[] { 7, 0xFF, 0xFF, 0xFF, 0xFF })]
    [InlineData(15, new byte[] { 7, 0, 0, 0, 1, (byte)'x', 7 })]
    [InlineData(16, new byte[] { 7, 0, 0, 0, 1, (byte)'x', 5, 0 })] // a subsection without a name
    [InlineData(21, new byte[] { 7, 0, 0, 0, 1, (byte)'x', 5, 1, (byte)'y', 0, 0, 0, 2 })]
    [InlineData(14, new byte[] { 4, 0, 0, 0, 1, 0 })] // a section without a name
    [InlineData(13, new byte[] { 8, 0, 3, 0, 17 })] // a command longer than any that may come first
    public void At_the_first_byte_that_no_source_sends_it_is_garbage(int length, byte[] rest)
    {
        byte[] opening = [.. s_header, .. rest];
        Assert.Equal(length, opening.Length);
        AdmissionFacts facts = new(Two, NoHost.Instance);
        Assert.Equal(AdmissionVerdict.Undecided, Judge(opening.AsSpan(0, length - 1), facts));
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.Garbage), Judge(opening, facts));
    }

    [Fact]
    public void No_proof_is_longer_than_said()
    {
        byte[] longest = [.. s_header, 7, 0, 0, 0, 255, .. new byte[255], 5, 255, .. new byte[255], 0, 0, 0, 1];
        Assert.Equal(MainOpening.MaxSize, longest.Length);
        Assert.Equal(longest.Length, AdmissionRules.ReadLimit(longest));
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Main), Judge(longest, new AdmissionFacts(Two, NoHost.Instance)));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(15)]
    public async Task Who_says_only_the_beginning_takes_nobodys_place(int bytes)
    {
        await using var door = Door.Open(Two);
        var stranger = door.Knock(Opening.Main.AsSpan(0, bytes));
        await door.BytesAsync(stranger, bytes);

        door.Knock(Opening.Main);

        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
        await door.RefusedAsync(RefusalReason.SecondMain, 1);
        Assert.Equal(stranger.Socket.LocalEndPoint!.ToString(), door.Refusals.Single().Peer);
    }

    [Fact]
    public async Task Alone_it_has_the_time_of_a_proof_and_no_more()
    {
        await using var door = Door.Open(Two);
        var stranger = door.Knock(Opening.Main.AsSpan(0, 8));
        await door.BytesAsync(stranger, 8);
        door.Time.Advance(TimeSpan.FromSeconds(11));
        await door.RefusedAsync(RefusalReason.Incomplete, 1);
    }

    [Fact]
    public async Task While_the_first_may_be_given_up_another_waits_and_takes_its_place()
    {
        ScriptedHost host = new() { MainIsSettled = false };
        await using var door = Door.Open(Two, host);
        door.Knock(Opening.Main);
        door.Knock(Opening.Multifd(0, Guid.Empty));
        var old = await door.TakeAsync(2);
        var honest = door.Knock(Opening.Main);
        await door.HeldAsync(1);
        door.Time.Advance(TimeSpan.FromMinutes(5)); // the host's patience counts, not the door's
        Assert.Equal(Guid.Empty, door.Admission.Uuid);

        Assert.Equal(1, door.Admission.StartAnew());

        var main = await door.TakeAsync();
        Assert.Equal((ChannelKind.Main, 1), (main.Kind, main.Epoch));
        Assert.Equal(honest.Socket.LocalEndPoint!.ToString(), main.Peer);
        Assert.All(old, channel => Assert.Equal(0, channel.Epoch));
        door.Knock(Opening.Multifd(0)); // the place is free, and the UUID of the old set forgotten
        var multifd = await door.TakeAsync();
        Assert.Equal((ChannelKind.Multifd, 1, 0), (multifd.Kind, multifd.Epoch, multifd.Id));
        Assert.Empty(door.Refusals);
    }

    [Fact]
    public async Task One_that_is_judged_while_the_host_gives_the_first_up_takes_its_place()
    {
        ScriptedHost host = new();
        await using var door = Door.Open(Two, host);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        host.OnMainIsSettled = () =>
        {
            host.OnMainIsSettled = null;
            door.Admission.StartAnew();
        };

        door.Knock(Opening.Main);

        Assert.Equal(1, (await door.TakeAsync()).Epoch);
        Assert.Empty(door.Refusals);
    }

    [Fact]
    public async Task Once_the_first_is_settled_those_beside_it_are_second()
    {
        ScriptedHost host = new() { MainIsSettled = false };
        await using var door = Door.Open(Two, host);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        door.Knock(Opening.Main);
        await door.HeldAsync(1);

        host.MainIsSettled = true;
        door.Admission.Recheck();

        await door.RefusedAsync(RefusalReason.SecondMain, 1);
        door.Knock(Opening.Main);
        await door.RefusedAsync(RefusalReason.SecondMain, 2);
    }

    [Fact]
    public async Task A_new_set_leaves_the_undecided_ones_where_they_are()
    {
        await using var door = Door.Open(Two with { Preempt = true });
        door.Knock(Opening.Main);
        door.Knock(Opening.Multifd(0));
        door.Knock(Opening.Multifd(1));
        await door.TakeAsync(3);
        var silent = door.Knock();
        await door.UndecidedAsync(1);
        door.Time.Advance(TimeSpan.FromSeconds(31));
        await door.StateAsync(UndecidedState.Candidate, 1);

        door.Admission.StartAnew();

        await door.StateAsync(UndecidedState.Silent, 1); // nobody is complete any more, so it has a deadline again
        silent.Send(Opening.Multifd(1));
        Assert.Equal((1, 1), ((await door.TakeAsync()) is var again ? again.Id : -1, again.Epoch));
    }

    [Fact]
    public async Task A_main_channel_that_waits_goes_on_waiting_when_another_takes_the_place()
    {
        await using var door = Door.Open(Two, new ScriptedHost { MainIsSettled = false });
        door.Knock(Opening.Main);
        await door.TakeAsync();
        var honest = door.Knock(Opening.Main);
        await door.HeldAsync(1);
        door.Knock(Opening.Main);
        await door.HeldAsync(2);
        door.Admission.StartAnew();
        await door.TakeAsync(); // the later one
        await door.HeldAsync(1);
        door.Knock();
        await door.UndecidedAsync(2);

        door.Time.Advance(TimeSpan.FromSeconds(31));

        await door.RefusedAsync(RefusalReason.Silent, 1); // all deadlines have been looked at
        door.Admission.StartAnew();
        Assert.Equal(honest.Socket.LocalEndPoint!.ToString(), (await door.TakeAsync()).Peer);
    }

    [Fact]
    public async Task False_starts_are_counted_and_told()
    {
        await using var door = Door.Open(Two);
        door.Admission.NoteFalseStart("192.0.2.1:7", "it ended");
        await door.RefusedAsync(RefusalReason.FalseStart, 1);
        Assert.Equal("192.0.2.1:7", door.Refusals.Single().Peer);
        Assert.Equal(0, door.Admission.Undecided);
    }

    private static AdmissionVerdict Judge(ReadOnlySpan<byte> opening, AdmissionFacts facts) => AdmissionRules.Judge(opening, s_peer, facts);
}
