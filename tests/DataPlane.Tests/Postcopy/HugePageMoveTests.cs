using DataPlane.Linux;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A guest moves between two of ours onto reserved huge pages, and runs there before its memory is complete.</summary>
public sealed class HugePageMoveTests
{
    private const long HugePage = MemoryMapping.HugePageSize;
    private const long Ram = 24 << 20;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    private static readonly Dictionary<string, long> s_sizes = new() { ["pc.ram"] = HugePage };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task A_guest_runs_on_while_its_memory_follows(bool preempt, bool shared)
    {
        LiveGuest.RequireUserfaultfd();
        using var reserved = ReservedHugePages.For(Ram);
        using var guest = TestGuest.Patterned(Ram);
        guest.Memory.Blocks[0].Span(3 * HugePage, (int)HugePage).Clear(); // for which there is no call either
        using var incoming = Incoming(guest, shared);
        var options = new MigrationSourceOptions
        {
            Postcopy = true,
            Preempt = preempt,
            MaxPostcopyBytesPerSecond = 32 << 20, // so that the guest meets missing pages
            HostPageSizes = s_sizes,
        };
        await using var destination = LiveMoveTests.Destination(incoming, options);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);

        await new MigrationSource(guest, options).MigrateAsync(destination.LocalAddresses[0], null, Token).WaitAsync(s_limit, Token);

        var received = await receiving.WaitAsync(s_limit, Token);
        incoming.AssertWhole();
        Assert.Equal(HugePage, incoming.Memory.Blocks[0].HostPageSize);
        Assert.Equal(["create", "load", "start", "complete"], incoming.Calls);
        Assert.True(received.Postcopy!.RequestedPages >= HugePage / TargetPage.Size, $"{received.Postcopy.RequestedPages} pages asked for");
        Assert.Equal(preempt, received.Channels.Any(static channel => channel.Kind == ChannelKind.Preempt && channel.Bytes > 0));
        Assert.Empty(incoming.Pauses);
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 2)]
    public async Task A_guest_on_huge_pages_that_writes_on_is_handed_over_in_the_middle_of_precopy(bool shared, int channels)
    {
        LiveGuest.RequireUserfaultfd();
        using var reserved = ReservedHugePages.For(2 * Ram);
        MigrationSource? source = null;
        using var guest = TestGuest.Patterned(Ram, hostPageSize: HugePage, whileRunning: (guest, round) =>
        {
            foreach (var block in guest.Memory.Blocks)
            {
                // Some huge pages only, so that others have arrived for good.
                for (long page = round; page < block.PageCount / 3; page += 5)
                {
                    guest.Write(block, page, (byte)(round % 3));
                }
            }

            if (round == 3)
            {
                source!.SwitchToPostcopy();
            }
        });
        using var incoming = Incoming(guest, shared);
        var options = new MigrationSourceOptions
        {
            Postcopy = true,
            Preempt = true,
            MultifdChannels = channels,
            MaxDowntime = TimeSpan.FromTicks(1),
        };
        await using var destination = LiveMoveTests.Destination(incoming, options);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        source = new MigrationSource(guest, options);

        await source.MigrateAsync(destination.LocalAddresses[0], null, Token).WaitAsync(s_limit, Token);

        var received = await receiving.WaitAsync(s_limit, Token);
        incoming.AssertWhole();
        Assert.Contains(received.Phases, static phase => phase.Phase == MigrationPhase.Precopy);
        Assert.Equal(0, guest.Resumed);
    }

    [Fact]
    public async Task A_link_that_breaks_in_the_middle_of_a_huge_page_loses_nothing()
    {
        LiveGuest.RequireUserfaultfd();
        using var reserved = ReservedHugePages.For(Ram);
        using var guest = TestGuest.Patterned(Ram);
        using var incoming = Incoming(guest, shared: false);
        var options = new MigrationSourceOptions
        {
            Postcopy = true,
            Preempt = true,
            MaxPostcopyBytesPerSecond = 16 << 20,
            HostPageSizes = s_sizes,
            RecoveryTimeout = s_limit,
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        };
        await using var destination = LiveMoveTests.Destination(incoming, options);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, options);
        var breaker = new LinkBreaker(source, destination.LocalAddresses[0], guest.Memory.TotalPages, breaks: 3);

        var sent = await source.MigrateAsync(destination.LocalAddresses[0], breaker, Token).WaitAsync(s_limit, Token);

        await receiving.WaitAsync(s_limit, Token);
        Assert.InRange(sent.Postcopy!.Recoveries, 1, 3);
        incoming.AssertWhole();
        Assert.Equal(0, guest.Resumed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Smaller_pages_at_the_source_are_refused_while_the_guest_runs_there_and_do_for_precopy(bool postcopy)
    {
        LiveGuest.RequireUserfaultfd();
        using var reserved = ReservedHugePages.For(Ram);
        using var guest = TestGuest.Patterned(Ram);
        using var incoming = new LiveGuest(
            guest.Memory, RamAllocation.Default with { HostPageSize = HugePage }, threads: 0)
        { ChoosesItsPages = true };
        var options = new MigrationSourceOptions { Postcopy = postcopy };
        await using var destination = LiveMoveTests.Destination(incoming, options);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);

        var sending = new MigrationSource(guest, options).MigrateAsync(destination.LocalAddresses[0], null, Token);

        if (postcopy)
        {
            var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving.WaitAsync(s_limit, Token));
            Assert.Equal(FailureReason.NotSupported, failure.Reason);
            Assert.Contains("postcopy needs the same", failure.Message, StringComparison.Ordinal);
            await Assert.ThrowsAsync<MigrationException>(() => sending.WaitAsync(s_limit, Token));
        }
        else
        {
            await sending.WaitAsync(s_limit, Token);
            await receiving.WaitAsync(s_limit, Token);
            incoming.AssertWhole();
        }
    }

    private static LiveGuest Incoming(TestGuest guest, bool shared) =>
        new(guest.Memory, RamAllocation.Default with { HostPageSize = HugePage, Shared = shared });
}
