using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A guest moves between two of ours and runs at the destination before its memory is there.</summary>
public sealed class LiveMoveTests
{
    private const long HugePage = 2 << 20;

    private static readonly RamAllocation s_private = RamAllocation.Default with { HugePages = false };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<bool, bool, bool> Kinds => new(
        from preempt in (bool[])[false, true]
        from shared in (bool[])[false, true]
        from hugePages in (bool[])[false, true]
        select new TheoryDataRow<bool, bool, bool>(preempt, shared, hugePages));

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_guest_runs_on_while_its_memory_follows(bool preempt, bool shared, bool hugePages)
    {
        LiveGuest.RequireUserfaultfd();
        using var guest = TestGuest.Patterned(32 << 20);
        using var incoming = new LiveGuest(guest.Memory, s_private with { Shared = shared });
        var options = new MigrationSourceOptions
        {
            Preempt = preempt,
            MaxPostcopyBytesPerSecond = 64 << 20, // so that the guest meets missing pages
            HostPageSizes = hugePages ? new Dictionary<string, long> { ["pc.ram"] = HugePage } : new Dictionary<string, long>(),
        };

        var (sent, received) = await MoveAsync(guest, incoming, options);

        incoming.AssertWhole();
        Assert.Equal(["create", "load", "start", "complete"], incoming.Calls);
        Assert.Equal(guest.Devices, incoming.Devices!.Unwrap("test").ToArray());
        Assert.True(received.Postcopy!.RequestedPages > 0, "no page was asked for");
        Assert.True(
            sent.Postcopy!.Requests >= received.Postcopy.Requests - 1,
            $"{received.Postcopy.Requests} requests, {sent.Postcopy.Requests} arrived");
        Assert.Equal(preempt, received.Channels.Any(static channel => channel.Kind == ChannelKind.Preempt && channel.Bytes > 0));
        Assert.Equal(MigrationPhase.Postcopy, received.Phases[^1].Phase);
        Assert.Empty(incoming.Pauses);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_guest_that_writes_on_is_handed_over_in_the_middle_of_precopy(int channels)
    {
        LiveGuest.RequireUserfaultfd();
        MigrationSource? source = null;
        using var guest = TestGuest.Patterned(16 << 20, whileRunning: (guest, round) =>
        {
            foreach (var block in guest.Memory.Blocks)
            {
                for (long page = round; page < block.PageCount; page += 5)
                {
                    guest.Write(block, page, (byte)(round % 3)); // some become zero again
                }
            }

            if (round == 3)
            {
                source!.SwitchToPostcopy();
            }
        });
        using var incoming = new LiveGuest(guest.Memory, RamAllocation.Default);

        var (_, received) = await MoveAsync(
            guest, incoming, new MigrationSourceOptions { Preempt = true, MultifdChannels = channels, MaxDowntime = TimeSpan.FromTicks(1) },
            created => source = created);

        incoming.AssertWhole();
        Assert.Equal(["create", "load", "start", "complete"], incoming.Calls);
        Assert.Contains(received.Phases, static phase => phase.Phase == MigrationPhase.Precopy);
        Assert.Equal(0, guest.Resumed);
    }

    [Fact]
    public async Task What_the_guest_has_written_is_given_up_before_it_stands_still()
    {
        LiveGuest.RequireUserfaultfd();
        MigrationSource? source = null;
        LiveGuest? arriving = null;
        bool? wasThere = null;
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 8 << 20, s_private))
        {
            IsRunning = true,
            WhileRunning = (guest, round) =>
            {
                for (var page = 1; page < guest.Memory.Blocks[0].PageCount; page += 2) // more ranges than go in one call
                {
                    guest.Write(guest.Memory.Blocks[0], page, (byte)round);
                }

                if (round == 2)
                {
                    source!.SwitchToPostcopy();
                }
            },
            OnPaused = _ =>
            {
                wasThere = ForeignTouch.IsPresent(arriving!.Memory.Blocks[0], 5);
                return Task.CompletedTask;
            },
        };
        using var incoming = arriving = new LiveGuest(guest.Memory, s_private);

        await MoveAsync(guest, incoming, new MigrationSourceOptions { MaxDowntime = TimeSpan.FromTicks(1) }, created => source = created);

        Assert.False(wasThere);
        incoming.AssertWhole();
    }

    [Fact]
    public async Task Devices_that_need_memory_get_it_while_they_are_loaded()
    {
        LiveGuest.RequireUserfaultfd();
        using var guest = TestGuest.Patterned(4 << 20);
        byte[]? seen = null;
        using var incoming = new LiveGuest(guest.Memory, s_private) { OnLoad = memory => seen = ForeignTouch.Read(memory.Blocks[0], 700) };

        await MoveAsync(guest, incoming, new MigrationSourceOptions { MaxPostcopyBytesPerSecond = 1 << 20 });

        Assert.Equal(guest.Memory.Blocks[0].Span(700 * TargetPage.Size, TargetPage.Size).ToArray(), seen);
        incoming.AssertWhole();
    }

    [Fact]
    public async Task A_host_that_runs_no_guest_gets_a_complete_one()
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();

        var options = new MigrationSourceOptions { Preempt = true, MaxPostcopyBytesPerSecond = 4 << 20 };
        var (_, received) = await MoveAsync(guest, incoming, options);

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.True(incoming.Started);
        Assert.Equal(guest.Devices, incoming.Devices!.Unwrap("test").ToArray());
        Assert.True(received.Postcopy!.RequestedPages > 0);
    }

    [Fact]
    public async Task Devices_that_do_not_load_leave_the_guest_at_its_source()
    {
        LiveGuest.RequireUserfaultfd();
        using var guest = TestGuest.Patterned(4 << 20);
        using var incoming = new LiveGuest(guest.Memory, s_private)
        { OnLoad = static _ => throw new InvalidDataException("no such device") };

        await using var destination = Destination(incoming, new MigrationSourceOptions());
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var sending = new MigrationSource(guest, new MigrationSourceOptions { Postcopy = true })
            .MigrateAsync(destination.LocalAddresses[0], null, Token);

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
        Assert.Equal(FailureReason.HostFailed, failure.Reason);
        Assert.Equal(GuestOwner.Source, failure.Owner);
        Assert.Equal(["create", "load", "abandon"], incoming.Calls);
        // What became of it here the source cannot know: it never starts the guest again by itself.
        var unknown = await Assert.ThrowsAsync<MigrationException>(() => sending);
        Assert.Equal((FailureReason.OutcomeUnknown, GuestOwner.Unknown), (unknown.Reason, unknown.Owner));
    }

    [Fact]
    public async Task A_guest_that_does_not_start_is_here_with_all_of_its_memory()
    {
        LiveGuest.RequireUserfaultfd();
        using var guest = TestGuest.Patterned(4 << 20);
        using var incoming = new LiveGuest(guest.Memory, s_private)
        { OnStart = static () => throw new InvalidOperationException("no vCPU left") };

        await using var destination = Destination(incoming, new MigrationSourceOptions());
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        await new MigrationSource(guest, new MigrationSourceOptions { Postcopy = true })
            .MigrateAsync(destination.LocalAddresses[0], null, Token);

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
        Assert.Equal((FailureReason.HostFailed, MigrationPhase.Completed), (failure.Reason, failure.Phase));
        Assert.Equal(GuestOwner.Destination, failure.Owner);
        Assert.Equal(["create", "load", "start", "complete"], incoming.Calls);
        incoming.AssertWhole();
    }

    internal static MigrationDestination Destination(IIncomingGuest incoming, MigrationSourceOptions options) => new(
        [ChannelAddress.Parse("127.0.0.1:0")],
        incoming,
        new MigrationDestinationOptions { MultifdChannels = options.MultifdChannels, Postcopy = true, Preempt = options.Preempt });

    private static async Task<(MigrationReport Sent, MigrationReport Received)> MoveAsync(
        TestGuest guest, IIncomingGuest incoming, MigrationSourceOptions options, Action<MigrationSource>? created = null)
    {
        await using var destination = Destination(incoming, options);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, options with { Postcopy = true });
        created?.Invoke(source);
        var sending = source.MigrateAsync(destination.LocalAddresses[0], null, Token);
        await (await Task.WhenAny(sending, receiving)).WaitAsync(TimeSpan.FromSeconds(60), Token);
        await Task.WhenAll(sending, receiving).WaitAsync(TimeSpan.FromSeconds(60), Token);
        return (await sending, await receiving);
    }
}
