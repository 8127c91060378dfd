using System.Buffers;
using DataPlane.Linux;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Admission;

public sealed class ChannelAdmissionTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("m01")]
    [InlineData("m10")]
    [InlineData("0m1")]
    [InlineData("1m0")]
    [InlineData("01m")]
    [InlineData("10m")]
    public async Task The_honest_set_is_admitted_in_any_order(string order)
    {
        await using var door = Door.Open(Door.Expect(2));
        foreach (var who in order)
        {
            var peer = door.Knock(OpeningOf(who));
            var admitted = await door.TakeAsync();
            Assert.Equal(who == 'm' ? (ChannelKind.Main, 0) : (ChannelKind.Multifd, who - '0'), (admitted.Kind, admitted.Id));
            Assert.Equal(who == 'm' ? "main" : $"multifd {who}", admitted.Channel.Name);
            Assert.Equal(peer.Socket.LocalEndPoint!.ToString(), admitted.Channel.Peer);
        }

        Assert.Equal(3, door.Admission.Admitted);
        Assert.Empty(door.Refusals);
    }

    [Fact]
    public async Task Connections_that_all_come_before_any_byte_are_told_apart_by_their_bytes()
    {
        await using var door = Door.Open(Door.Expect(2));
        ScriptedPeer[] peers = [door.Knock(), door.Knock(), door.Knock()];
        await door.UndecidedAsync(3);
        peers[2].SendSingly(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
        peers[0].SendSingly(Opening.Multifd(1));
        Assert.Equal(1, (await door.TakeAsync()).Id);
        peers[1].SendSingly(Opening.Multifd(0));
        Assert.Equal(0, (await door.TakeAsync()).Id);
    }

    [Fact]
    public async Task A_main_channel_still_delivers_its_first_bytes_and_a_multifd_channel_what_follows_its_packet()
    {
        await using var door = Door.Open(Door.Expect(1));
        door.Knock(Opening.Main).Send(99).Finish();
        var main = await door.TakeAsync();
        var read = await main.Channel.Input.ReadAtLeastAsync(Opening.Main.Length + 1, Token);
        Assert.Equal([.. Opening.Main, 99], read.Buffer.ToArray());

        door.Knock([.. Opening.Multifd(0), 1, 2, 3]);
        var multifd = await door.TakeAsync();
        using NativeBuffer target = new(3);
        Assert.True(multifd.Channel.Receive([target.Whole]).Complete);
        Assert.Equal([1, 2, 3], target.Span.ToArray());
        Assert.Equal(1, multifd.Channel.ReceiveCalls);
    }

    [Fact]
    public async Task An_admitted_socket_blocks_and_is_in_no_poll_set()
    {
        await using var door = Door.Open(Door.Expect(2));
        door.Knock(Opening.Multifd(0)); // decided at accept
        var slow = door.Knock(Opening.Multifd(1).AsSpan(0, 63)); // decided out of the poll set
        var first = await door.TakeAsync();
        await door.UndecidedAsync(1);
        slow.Send(0);
        var second = await door.TakeAsync();
        foreach (var channel in new[] { first.Channel, second.Channel })
        {
            Assert.Equal(0, SocketCalls.SocketControl(channel.Handle, SocketCalls.ControlGetFlags, 0) & SocketCalls.FlagNonBlocking);
            Assert.DoesNotContain((int)channel.Handle.DangerousGetHandle(), Descriptors.EpollMembers());
        }
    }

    [Fact]
    public async Task Several_listeners_lead_to_one_set_of_channels()
    {
        Requires.FamilyOf("::1");
        await using var door = Door.Open(
            Door.Expect(2), null, ChannelAddress.Parse("127.0.0.1:0"), ChannelAddress.Parse("[::1]:0"),
                ChannelAddress.Unix(_folder + "/s"));
        door.Knock(Opening.Main);
        door.Add(ScriptedPeer.Connect(door.Admission.LocalAddresses[1])).Send(Opening.Multifd(0));
        door.Add(ScriptedPeer.Connect(door.Admission.LocalAddresses[2])).Send(Opening.Multifd(1));
        var taken = await door.TakeAsync(3);
        Assert.Equal(["main", "multifd 0", "multifd 1"], taken.Select(t => t.Channel.Name).Order());
        Assert.Equal($"unix:{_folder}/s", taken.Single(t => t.Id == 1).Channel.Peer);
    }

    [Fact]
    public async Task The_first_uuid_seen_binds_when_none_is_configured()
    {
        await using var door = Door.Open(new AdmissionOptions { MultifdChannels = 2 });
        Assert.Null(door.Admission.Uuid);
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync();
        Assert.Equal(Opening.Uuid, door.Admission.Uuid);
        door.Knock(Opening.Multifd(1, Guid.Empty));
        await door.RefusedAsync(RefusalReason.Uuid, 1);
        door.Knock(Opening.Multifd(1));
        Assert.Equal(1, (await door.TakeAsync()).Id);
    }

    [Fact]
    public async Task After_the_set_is_complete_further_ones_are_refused_and_the_first_ones_stay()
    {
        await using var door = Door.Open(Door.Expect(1));
        var main = door.Knock(Opening.Main);
        var admitted = await door.TakeAsync();
        door.Knock(Opening.Multifd(0));
        await door.TakeAsync();
        Assert.Equal(PeerEnd.Reset, (await door.Knock(Opening.Main).ReadToEndAsync(Token)).End);
        Assert.Equal(PeerEnd.Reset, (await door.Knock(Opening.Multifd(0)).ReadToEndAsync(Token)).End);
        await door.RefusedAsync(RefusalReason.SecondMain, 1);
        await door.RefusedAsync(RefusalReason.IdTaken, 1);

        var read = await admitted.Channel.Input.ReadAtLeastAsync(Opening.Main.Length, Token);
        admitted.Channel.Input.AdvanceTo(read.Buffer.End);
        main.Send(42);
        read = await admitted.Channel.Input.ReadAsync(Token);
        Assert.Equal([42], read.Buffer.ToArray());
    }

    [Fact]
    public async Task Of_two_with_the_same_id_the_first_whole_packet_wins()
    {
        await using var door = Door.Open(Door.Expect(1));
        var early = door.Knock(Opening.Multifd(0).AsSpan(0, 63));
        await door.UndecidedAsync(1);
        var whole = door.Knock(Opening.Multifd(0));
        Assert.Equal(whole.Socket.LocalEndPoint!.ToString(), (await door.TakeAsync()).Channel.Peer);
        early.Send(0);
        await door.RefusedAsync(RefusalReason.IdTaken, 1);
    }

    [Fact]
    public async Task Waiting_for_a_channel_can_be_cancelled_and_loses_none()
    {
        await using var door = Door.Open(Door.Expect(0));
        using var cancel = new CancellationTokenSource();
        var waiting = door.Admission.AcceptAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        door.Knock(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
    }

    [Fact]
    public async Task A_handler_that_throws_does_not_close_the_door()
    {
        await using var door = Door.Open(Door.Expect(0));
        door.Admission.Refusal += (_, _) => throw new InvalidOperationException("a host's mistake");
        door.Knock(Opening.Http);
        await door.RefusedAsync(RefusalReason.Garbage, 1);
        door.Knock(Opening.Main);
        await door.TakeAsync();
    }

    [Fact]
    public void An_address_that_cannot_be_listened_on_leaves_no_listener_behind()
    {
        ChannelAddress[] addresses = [ChannelAddress.Unix(_folder + "/a"), ChannelAddress.Unix(_folder + "/missing/b")];
        Assert.ThrowsAny<IOException>(() => ChannelAdmission.Listen(
            addresses, new AdmissionOptions(), new ChannelOptions(), TimeProvider.System, NullLogger.Instance));
        Assert.Empty(Directory.GetFiles(_folder));
    }

    private static byte[] OpeningOf(char who) => who == 'm' ? Opening.Main : Opening.Multifd(who - '0');
}
