using System.Buffers;
using DataPlane.Postcopy;
using DataPlane.Tests.Wire;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class PostcopyCommandsTests
{
    [Fact]
    public void Advice_names_the_pages_of_the_destination()
    {
        using var memory = Memory();
        var output = new ArrayBufferWriter<byte>();
        PostcopyCommands.WriteAdvise(output, new HostPages(memory));
        Assert.Equal(Hex.Bytes("08 0003 0010 0000000000001000 0000000000001000"), output.WrittenSpan);
    }

    [Fact]
    public void Without_anything_to_discard_one_page_is_discarded_and_goes_again()
    {
        using var memory = Memory();
        var unsent = new GuestPageSet(memory);
        var output = new ArrayBufferWriter<byte>();
        PostcopyCommands.WriteDiscards(output, unsent, new HostPages(memory));
        Assert.Equal(Hex.Bytes("08 0006 0019 00 06 \"pc.ram\" 00 0000000000000000 0000000000001000"), output.WrittenSpan);
        Assert.True(unsent[memory.Blocks[0]][0]);
        Assert.Equal(1, unsent.CountSet());
    }

    [Fact]
    public void What_is_discarded_ahead_may_be_nothing_and_leaves_the_rest_for_later()
    {
        using var memory = Memory();
        var (all, ahead) = (new GuestPageSet(memory), new GuestPageSet(memory));
        var output = new ArrayBufferWriter<byte>();
        PostcopyCommands.WriteRanges(output, ahead);
        Assert.Equal(0, output.WrittenCount);

        all[memory.Blocks[0]].SetRange(0, 10);
        ahead[memory.Blocks[0]].SetRange(2, 8);
        all.ExceptWith(ahead);
        Assert.Equal(0b11ul, all[memory.Blocks[0]].Words[0]);
        Assert.Equal(2, all.CountSet());
    }

    [Fact]
    public void Discards_cover_exactly_what_is_unsent_in_commands_of_twelve_ranges()
    {
        using var memory = Memory();
        var unsent = new GuestPageSet(memory);
        for (var page = 0; page < 100; page += 4)
        {
            unsent[memory.Blocks[0]].SetRange(page, 2);
        }

        unsent[memory.Blocks[1]].SetAll();
        var output = new ArrayBufferWriter<byte>();
        PostcopyCommands.WriteDiscards(output, unsent, new HostPages(memory));
        var seen = new GuestPageSet(memory);
        List<int> ranges = [];
        for (var rest = output.WrittenSpan; !rest.IsEmpty;)
        {
            Assert.True(CommandHeader.TryRead(rest, out var header, out var error), error);
            Assert.Equal(CommandType.PostcopyRamDiscard, header.Type);
            Assert.True(PostcopyDiscard.TryRead(rest.Slice(CommandHeader.Size, header.Length), out var discard, out error), error);
            Assert.True(memory.TryGetBlock(discard.BlockName, out var block));
            Assert.True(discard.TryCheckRanges(block.Length, 4096, out error), error);
            ranges.Add(discard.RangeCount);
            for (var i = 0; i < discard.RangeCount; i++)
            {
                seen[block].SetRange(discard[i].Start / 4096, discard[i].Length / 4096);
            }

            rest = rest[(CommandHeader.Size + header.Length)..];
        }

        Assert.Equal([12, 12, 1, 1], ranges);
        foreach (var block in memory.Blocks)
        {
            Assert.Equal(unsent[block].Words, seen[block].Words);
        }
    }

    [Fact]
    public void The_package_holds_the_devices_and_nothing_of_the_end()
    {
        var output = new ArrayBufferWriter<byte>();
        var bytes = PostcopyCommands.WritePackage(output, Hex.Bytes("04 AABB 7E 00000007"), preempt: false);
        Assert.Equal(
            Hex.Bytes("08 0007 0004 0000001B  08 0004 0000  04 AABB 7E 00000007  08 0002 0004 00000042  08 0005 0000"), output.WrittenSpan);
        Assert.Equal(output.WrittenCount, bytes);
    }

    private static GuestMemory Memory() => new(
        [RamBlock.Allocate("pc.ram", 100 * 4096, RamAllocation.Default), RamBlock.Allocate("rom", 8 * 4096, RamAllocation.Default)]);
}
