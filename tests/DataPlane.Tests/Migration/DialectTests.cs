using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>What is emitted to whom, and that our own destination takes all of it.</summary>
public sealed class DialectTests
{
    [Theory]
    // The rows of the specification, 3-multifd section 8: destination, machine type.
    [InlineData("7.2", "pc-q35-7.2", "every section, main, no")]
    [InlineData("8.0", "pc-q35-7.2", "every section, main, no")]
    [InlineData("8.0", "pc-q35-8.0", "every section, main, no")]
    [InlineData("8.1", "pc-q35-8.0", "every section, main, no")]
    [InlineData("11.1", "pc-q35-7.2", "every section, main, no")]
    [InlineData("8.1", "pc-q35-8.1", "flush, main, no")]
    [InlineData("8.2", "pc-q35-8.2", "flush, main, no")]
    [InlineData("9.0", "pc-q35-8.2", "flush, main, no")]
    [InlineData("11.1", "pc-q35-8.1", "flush, main, no")]
    [InlineData("9.0", "pc-i440fx-9.0", "flush, packets, no")]
    [InlineData("10.0", "pc-q35-9.2", "flush, packets, no")]
    [InlineData("10.0", "pc-q35-10.0", "flush, packets, yes")]
    [InlineData("11.1", "virt-11.1", "flush, packets, yes")]
    // Without a version of the program the machine type decides alone.
    [InlineData(null, "pc-q35-8.0", "every section, main, no")]
    [InlineData(null, "pc-q35-8.1", "flush, main, no")]
    [InlineData(null, "pc-q35-9.0", "flush, packets, no")]
    [InlineData(null, "pc-q35-10.0", "flush, packets, yes")]
    // A distribution's machine type says nothing; a program that knows one way only does.
    [InlineData("7.2", "pc-q35-rhel9.4.0", "every section, main, no")]
    [InlineData(null, "dataplane-test-1.0", "flush, packets, yes")]
    [InlineData(null, "pc-q35-9.2+pve1", "flush, packets, no")]
    [InlineData("10.0", "pc-q35-10.0+pve1", "flush, packets, yes")]
    // Who is not known gets nothing that some do not know and nobody needs.
    [InlineData(null, "acme", "flush, packets, no")]
    [InlineData(null, "pc-q35-noble", "flush, packets, no")]
    public void Machine_type_and_version_decide(string? peer, string machine, string expected)
    {
        var destination = QemuCompatibility.Of(machine, peer is null ? null : Version.Parse(peer));
        var sync = destination.SyncsAtFlushRecords ? "flush" : "every section";
        var zero = destination.TakesZeroPagesInPackets ? "packets" : "main";
        Assert.Equal(expected, $"{sync}, {zero}, {(destination.TakesSwitchoverStart ? "yes" : "no")}");
    }

    [Theory]
    [InlineData("pc-q35-10.0", null, true)]
    [InlineData("pc-q35-noble", null, false)]
    [InlineData("pc-q35-noble", "8.0", true)]
    [InlineData("pc-q35-noble", "8.1", false)]
    [InlineData("dataplane-x", null, true)]
    public void A_name_without_a_version_is_enough_only_where_there_is_one_way(string machine, string? peer, bool known) =>
        Assert.Equal(known, QemuCompatibility.Of(machine, peer is null ? null : Version.Parse(peer)).HasKnownSync);

    public static TheoryData<string, int> Dialects => new(
        from machine in (string[])["pc-q35-7.2", "pc-q35-8.2", "pc-q35-9.0", "pc-q35-10.0"]
        from channels in (int[])[0, 1, 4]
        select new TheoryDataRow<string, int>(machine, channels));

    [Theory]
    [MemberData(nameof(Dialects))]
    public async Task A_live_guest_arrives_whole_in_every_dialect(string machine, int channels)
    {
        using var guest = new TestGuest(
            RamBlock.Allocate("pc.ram", 24 << 20, RamAllocation.Default), RamBlock.Allocate("vga.vram", 4 << 20, RamAllocation.Default))
        {
            MachineName = machine,
            IsRunning = true,
            // Pages become data, and data become zero, again and again.
            WhileRunning = static (guest, collection) =>
            {
                for (long page = 0; page < 512; page++)
                {
                    guest.Write(guest.Memory.Blocks[(int)(page & 1)], page, (byte)((page + collection) % 3));
                }
            },
        };
        for (long page = 0; page < guest.Memory.Blocks[0].PageCount; page += 3)
        {
            guest.Memory.Blocks[0].Span(page << 12, 4096).Fill((byte)(page % 5));
        }

        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], incoming,
            new() { MultifdChannels = channels });
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);

        var sent = await new MigrationSource(guest, new() { MultifdChannels = channels }).MigrateAsync(
            destination.LocalAddresses[0], cancellationToken: TestContext.Current.CancellationToken);
        var received = await receiving;

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.Equal(sent.NormalPages, received.NormalPages);
        Assert.Equal(sent.ZeroPages, received.ZeroPages);
        Assert.True(sent.ZeroPages > 1000 && sent.NormalPages > 1000);
        // Zero pages on main are nine bytes each: that is where they were.
        var main = sent.Channels[0].Bytes;
        if (channels > 0)
        {
            Assert.Equal(machine is "pc-q35-7.2" or "pc-q35-8.2", main > 9 * sent.ZeroPages);
        }
    }
}
