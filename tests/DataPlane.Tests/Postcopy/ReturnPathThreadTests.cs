using DataPlane.Postcopy;
using DataPlane.Tests.Wire;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class ReturnPathThreadTests
{
    private const string Name = "06 \"pc.ram\"";
    private const string Named = $"0003 0013 0000000000005000 00001000 {Name}";

    [Fact]
    public async Task Messages_come_in_their_order_up_to_SHUT()
    {
        await using var link = await Link.OpenAsync();
        link.Peer.SendSingly(Hex.Bytes(
            $"0002 0004 00000001  0003 0013 0000000000005000 00001000 {Name}  0004 000C 0000000000007000 00002000"
            + "0007 0000  0002 0004 00000042  0001 0004 00000000"));
        Assert.Equal(0u, await link.Shut);
        Assert.Equal(["pong 1", "pc.ram 5+1", "pc.ram 7+2", "pong 66"], link.Events.Seen);
    }

    [Fact]
    public async Task A_request_for_nothing_is_nothing()
    {
        await using var link = await Link.OpenAsync();
        link.Peer.Send(Hex.Bytes($"0003 0013 0000000000005000 00000000 {Name}  0001 0004 00000001"));
        Assert.Equal(1u, await link.Shut);
        Assert.Empty(link.Events.Seen);
    }

    [Theory]
    [InlineData("", "0004 000C 0000000000007000 00001000", "")]
    [InlineData(Named, "0004 000C 0000000000007000 00001000", "pc.ram 7+1")]
    [InlineData(Named, "0004 000C 0000000000400000 00001000", "")]
    [InlineData(Named, "0004 000C 0000000000007800 00001000", "")]
    public async Task A_request_left_over_from_a_lost_link_goes_by_the_name_on_it_or_is_dropped(string before, string leftOver, string seen)
    {
        await using var lost = await Link.OpenAsync();
        lost.Peer.Send(Hex.Bytes(before)).Finish();
        await Assert.ThrowsAsync<ChannelException>(() => lost.Shut);
        await using var link = await lost.ReplaceAsync();

        link.Peer.Send(Hex.Bytes($"{leftOver} {Named}  0004 000C 0000000000006000 00001000  0001 0004 00000000"));

        Assert.Equal(0u, await link.Shut);
        Assert.Equal([.. seen.Length == 0 ? (string[])[] : [seen], "pc.ram 5+1", "pc.ram 6+1"], link.Events.Seen);
    }

    [Theory]
    [InlineData("0004 000C 0000000000007000 00001000", "before any block was named")]
    [InlineData("0003 0010 0000000000005000 00001000 03 \"abc\"", "unknown block 'abc'")]
    [InlineData("0003 0013 0000000000005800 00001000 06 \"pc.ram\"", "not a number of pages")]
    [InlineData("0003 0013 0000000000005000 00001001 06 \"pc.ram\"", "not a number of pages")]
    [InlineData("0003 0013 0000000000400000 00001000 06 \"pc.ram\"", "of a block of 400000")]
    [InlineData("0003 0010 0000000000001000 00001000 03 \"big\"", "splits its pages of 200000")]
    [InlineData("0003 0010 0000000000000000 00001000 03 \"big\"", "splits its pages of 200000")]
    [InlineData("0005 0004 03 \"abc\"", "unknown block 'abc'")]
    [InlineData("0005 0007 06 \"pc.ram\" 0000000000000088", "a received bitmap of 136 bytes for 1024 pages")]
    [InlineData("0006 0004 00000001", "outside of a recovery")]
    [InlineData("0009 0000", "unknown return path message 9")]
    [InlineData("0001 0005", "cannot have 5 bytes")]
    public async Task What_no_destination_may_say_ends_the_link(string hex, string because)
    {
        await using var link = await Link.OpenAsync();
        link.Peer.Send(Hex.Bytes(hex)).Finish();
        var failure = await Assert.ThrowsAsync<ChannelException>(() => link.Shut);
        Assert.Contains(because, failure.Message, StringComparison.Ordinal);
        Assert.Empty(link.Events.Seen);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0002")]
    [InlineData("0002 0004 0000")]
    public async Task An_end_without_the_last_word_is_none(string hex)
    {
        await using var link = await Link.OpenAsync();
        link.Peer.Send(Hex.Bytes(hex)).Finish();
        Assert.Equal(FailureReason.PeerClosed, (await Assert.ThrowsAsync<ChannelException>(() => link.Shut)).Reason);
    }

    private sealed class Link : IAsyncDisposable
    {
        private readonly ChannelPair _pair;
        private readonly GuestMemory _memory;
        private bool _ownsMemory = true;

        private readonly ReturnPathThread _thread;

        private Link(ChannelPair pair, GuestMemory memory, ReturnPathThread? replaces)
        {
            (_pair, _memory) = (pair, memory);
            var hostPages = new HostPages(_memory, new Dictionary<string, long> { ["big"] = 2 << 20 });
            _thread = new ReturnPathThread(pair.Channel, _memory, hostPages, Events)
            {
                ReplacesLostLink = replaces is not null,
                BlockOfLostLink = replaces?.LastBlock,
            };
            Shut = _thread.Start();
        }

        public Task<uint> Shut { get; }

        public Recorder Events { get; } = new();

        public ScriptedPeer Peer => _pair.Peer;

        public static async Task<Link> OpenAsync()
        {
            var memory = new GuestMemory(
                [RamBlock.Allocate("pc.ram", 4 << 20, RamAllocation.Default), RamBlock.Allocate("big", 4 << 20, RamAllocation.Default)]);
            return new(await ChannelPair.ConnectAsync(TestContext.Current.CancellationToken), memory, replaces: null);
        }

        /// <summary>Another link of the same guest, whose memory stays with the first.</summary>
        public async Task<Link> ReplaceAsync() =>
            new(await ChannelPair.ConnectAsync(TestContext.Current.CancellationToken), _memory, _thread) { _ownsMemory = false };

        public async ValueTask DisposeAsync()
        {
            _pair.Channel.Abort();
            await ((Task)Shut).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _pair.DisposeAsync();
            if (_ownsMemory)
            {
                _memory.Dispose();
            }
        }
    }

    private sealed class Recorder : IReturnPathEvents
    {
        private readonly List<string> _seen = [];

        public IReadOnlyList<string> Seen => _seen;

        public void OnPong(uint value) => _seen.Add($"pong {value}");

        public void OnVmStarted() => _seen.Add("started");

        public bool OnReceivedBitmap(RamBlock block, PageBitmap received) => false;

        public bool OnResumeAck(uint value) => false;

        public void OnRequest(RamBlock block, long firstPage, long pages) => _seen.Add($"{block.Name} {firstPage}+{pages}");
    }
}
