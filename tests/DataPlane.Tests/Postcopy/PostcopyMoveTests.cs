using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A guest goes by postcopy from our source to our destination, which fetches its memory as fast as it comes.</summary>
public sealed class PostcopyMoveTests
{
    private static readonly ChannelAddress s_anyPort = ChannelAddress.Parse("127.0.0.1:0");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0, false)]
    [InlineData(0, true)]
    [InlineData(4, true)]
    public async Task A_guest_that_stands_still_goes_before_its_memory(int channels, bool preempt)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        var (sent, received) = await MoveAsync(guest, incoming, channels, preempt);

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.True(incoming.Started);
        Assert.Equal(guest.Devices, incoming.Devices!.Unwrap("test").ToArray());
        Assert.Equal(0, sent.Rounds);
        Assert.Equal(guest.Memory.TotalPages, sent.NormalPages + sent.ZeroPages);
        Assert.Equal(sent.TransferredBytes, received.TransferredBytes);
        Assert.NotNull(sent.Postcopy!.StartDelay);
        Assert.Equal(preempt, sent.Channels.Any(static channel => channel.Kind == ChannelKind.Preempt));
        Assert.Equal(0, guest.Resumed);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(0, true)]
    [InlineData(4, false)]
    [InlineData(4, true)]
    public async Task A_running_guest_switches_in_the_middle_of_a_round(int channels, bool preempt)
    {
        MigrationSource? source = null;
        using var guest = TestGuest.Patterned(32 << 20, whileRunning: (guest, collection) =>
        {
            // Always more than fits any downtime: it would never end by precopy.
            foreach (var block in guest.Memory.Blocks)
            {
                for (long page = collection; page < block.PageCount; page += 2)
                {
                    guest.Write(block, page, (byte)(collection % 3));
                }
            }

            if (collection == 2)
            {
                source!.SwitchToPostcopy();
            }
        });
        using var incoming = new TestIncomingGuest();
        var (sent, _) = await MoveAsync(guest, incoming, channels, preempt, created => source = created);

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.True(sent.Rounds >= 2);
        Assert.NotNull(sent.Postcopy);
        Assert.True(sent.Downtime > TimeSpan.Zero);
        Assert.False(guest.IsRunning);
        Assert.Equal(0, guest.Resumed);
    }

    [Fact]
    public async Task A_switch_that_was_wished_before_the_migration_interrupts_its_first_round()
    {
        using var guest = TestGuest.Patterned(32 << 20, whileRunning: static (_, _) => { });
        using var incoming = new TestIncomingGuest();
        var (sent, _) = await MoveAsync(guest, incoming, 0, false, static source => source.SwitchToPostcopy());
        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.Equal(1, sent.Rounds);
        Assert.Equal(guest.Memory.TotalPages, sent.NormalPages + sent.ZeroPages);
    }

    [Fact]
    public async Task Without_a_switch_a_guest_that_converges_goes_by_precopy()
    {
        using var guest = TestGuest.Patterned(4 << 20, whileRunning: static (_, _) => { });
        using var incoming = new TestIncomingGuest();
        var (sent, _) = await MoveAsync(guest, incoming, 0, true);
        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.Null(sent.Postcopy);
    }

    [Fact]
    public void A_switch_needs_a_migration_that_was_prepared_for_it()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        Assert.Throws<InvalidOperationException>(() => new MigrationSource(guest, new MigrationSourceOptions()).SwitchToPostcopy());
        Assert.Throws<ArgumentOutOfRangeException>(() => new MigrationSource(guest, new MigrationSourceOptions { Preempt = true }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new MigrationSource(
            guest, new MigrationSourceOptions { Postcopy = true, MultifdChannels = 2, DestinationQemuVersion = new Version(10, 0) }));
    }

    [Theory]
    [InlineData(null, "dataplane-test-1.0", 0, true)]
    [InlineData("7.2", "pc-q35-7.2", 0, false)]
    [InlineData("8.2", "pc-q35-7.2", 0, false)]
    [InlineData(null, "pc-q35-8.2", 0, false)]
    [InlineData(null, "pc-q35-rhel9.4.0", 0, false)]
    [InlineData("9.0", "pc-q35-7.2", 0, true)]
    [InlineData(null, "pc-q35-10.0", 0, true)]
    [InlineData(null, "pc-q35-7.2", 4, true)]
    public void A_preempt_channel_opens_when_every_such_destination_takes_it(string? peer, string machine, int channels, bool late)
    {
        var version = peer is null ? null : Version.Parse(peer);
        Assert.Equal(late, QemuCompatibility.Of(machine, version).TakesPreemptAtSwitch(channels));
    }

    [Fact]
    public async Task A_destination_that_ends_before_the_package_leaves_the_guest_running_here()
    {
        using var guest = TestGuest.Patterned(4 << 20, whileRunning: static (_, _) => { });
        using var peer = new OneMainPeer();
        var source = new MigrationSource(guest, new MigrationSourceOptions { Postcopy = true });
        source.SwitchToPostcopy();
        var sending = source.MigrateAsync(peer.Address, cancellationToken: Token);
        using (var main = await peer.AcceptAsync())
        {
            // The header is there, the answer is not: a guest is not handed over to who does not answer.
            await main.ReceiveAsync(8, Token);
        }

        var failure = await Assert.ThrowsAsync<MigrationException>(() => sending);
        Assert.NotEqual(FailureReason.OutcomeUnknown, failure.Reason);
        Assert.True(guest.IsRunning);
    }

    [Theory]
    [InlineData(false, false, FailureReason.OutcomeUnknown)]
    [InlineData(true, false, FailureReason.GuestAtDestination)]
    [InlineData(true, true, FailureReason.GuestAtDestination)]
    internal async Task Once_the_package_has_left_a_lost_link_never_starts_the_guest_here(
        bool loaded, bool shutWithFailure, FailureReason reason)
    {
        using var guest = TestGuest.Patterned(64 << 20);
        using var peer = new OneMainPeer();
        var source = new MigrationSource(guest, new MigrationSourceOptions { Postcopy = true });
        var sending = source.MigrateAsync(peer.Address, cancellationToken: Token);
        using var main = await peer.AcceptAsync();
        main.Send(0, 2, 0, 4, 0, 0, 0, 1);
        await peer.ReadToPackageAsync(main);
        if (loaded)
        {
            main.Send(0, 2, 0, 4, 0, 0, 0, 0x42);
        }

        if (shutWithFailure)
        {
            main.Send(0, 1, 0, 4, 0, 0, 0, 1);
        }

        if (loaded)
        {
            // The answer has been heard when pages come that nobody asked for; SHUT ends the migration anyway.
            await main.ReceiveAsync(4 << 20, Token).WaitAsync(TimeSpan.FromSeconds(30), Token)
                .ContinueWith(static _ => { }, TaskScheduler.Default);
        }

        main.Dispose();
        var failure = await Assert.ThrowsAsync<MigrationException>(() => sending);
        Assert.Equal(reason, failure.Reason);
        Assert.Equal(0, guest.Resumed);
    }

    [Fact]
    public async Task What_is_discarded_while_the_guest_runs_is_marked_and_the_guest_stops_only_after_the_answer()
    {
        using var guest = TestGuest.Patterned(1 << 20, whileRunning: static (_, _) => { });
        using var peer = new OneMainPeer();
        var source = new MigrationSource(guest, new MigrationSourceOptions { Postcopy = true });
        source.SwitchToPostcopy();
        var sending = source.MigrateAsync(peer.Address, cancellationToken: Token);
        using (var main = await peer.AcceptAsync())
        {
            main.Send(0, 2, 0, 4, 0, 0, 0, 1);
            await peer.ReadToAsync(main, new RecordedStream().Ping(PostcopyDiscard.AheadPing).Bytes);
            Assert.Equal([8, 0, 6], await main.ReceiveAsync(3, Token)); // the first DISCARD
            await peer.ReadToAsync(main, new RecordedStream().Ping(2).Bytes);
            Assert.True(guest.IsRunning);

            main.Send(0, 2, 0, 4, 0, 0, 0, 2);

            await peer.ReadToPackageAsync(main);
            Assert.False(guest.IsRunning);
        }

        await Assert.ThrowsAsync<MigrationException>(() => sending.WaitAsync(TimeSpan.FromSeconds(60), Token));
    }

    private static async Task<(MigrationReport Sent, MigrationReport Received)> MoveAsync(
        TestGuest guest, TestIncomingGuest incoming, int channels, bool preempt, Action<MigrationSource>? prepare = null)
    {
        await using var destination = new MigrationDestination(
            [s_anyPort], incoming, new MigrationDestinationOptions { MultifdChannels = channels, Postcopy = true, Preempt = preempt });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, new MigrationSourceOptions
        {
            MultifdChannels = channels,
            Postcopy = true,
            Preempt = preempt,
            MaxDowntime = TimeSpan.FromMilliseconds(1),
        });
        prepare?.Invoke(source);
        var sending = source.MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token);
        await Task.WhenAll(sending, receiving).WaitAsync(TimeSpan.FromSeconds(60), Token);
        return (await sending, await receiving);
    }

    /// <summary>A destination that is driven by hand.</summary>
    private sealed class OneMainPeer : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        public OneMainPeer()
        {
            _listener.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
            _listener.Listen(1);
        }

        public ChannelAddress Address => ChannelAddress.From((System.Net.IPEndPoint)_listener.LocalEndPoint!);

        public async Task<ScriptedPeer> AcceptAsync() => new(await _listener.AcceptAsync(Token));

        /// <summary>Reads up to the end of the package, which RUN ends.</summary>
        public Task ReadToPackageAsync(ScriptedPeer main) => ReadToAsync(main, [8, 0, 2, 0, 4, 0, 0, 0, 0x42, 8, 0, 5, 0, 0]);

        /// <summary>Reads up to the end of these bytes.</summary>
        public async Task ReadToAsync(ScriptedPeer main, byte[] mark)
        {
            var seen = new List<byte>();
            while (seen.Count < mark.Length || !System.Runtime.InteropServices.CollectionsMarshal.AsSpan(seen).EndsWith(mark))
            {
                seen.AddRange(await main.ReceiveAsync(1, Token));
            }
        }

        public void Dispose() => _listener.Dispose();
    }
}
