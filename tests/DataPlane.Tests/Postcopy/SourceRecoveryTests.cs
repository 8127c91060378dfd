using DataPlane.Tests.Wire;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>Links break while the memory follows the guest; the source comes again, as often as it takes.</summary>
public sealed class SourceRecoveryTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1, false, 1)]
    [InlineData(2, true, 1)]
    [InlineData(3, false, 4)]
    [InlineData(4, true, 4)]
    public async Task Nothing_is_lost_however_often_the_link_breaks(int seed, bool preempt, int breaks)
    {
        using var guest = TestGuest.Patterned(48 << 20, seed);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true, Preempt = preempt });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, new MigrationSourceOptions
        {
            Postcopy = true,
            Preempt = preempt,
            RecoveryTimeout = TimeSpan.FromSeconds(60),
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });
        using var saboteur = new Saboteur(source, destination.LocalAddresses[0], guest.Memory.TotalPages, breaks, seed);
        var sending = source.MigrateAsync(destination.LocalAddresses[0], saboteur, Token);

        await Task.WhenAll(sending, receiving).WaitAsync(TimeSpan.FromSeconds(120), Token);

        incoming.AssertSameMemoryAs(guest.Memory);
        var report = await sending;
        // A link that breaks after SHUT is none that has to be replaced.
        Assert.InRange(report.Postcopy!.Recoveries, 1, saboteur.Broken);
        Assert.Equal(0, guest.Resumed);
    }

    [Fact]
    public async Task Who_is_never_resumed_says_where_the_guest_is()
    {
        using var guest = TestGuest.Patterned(48 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, new MigrationSourceOptions
        {
            Postcopy = true,
            RecoveryTimeout = TimeSpan.FromMilliseconds(200),
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });
        using var saboteur = new Saboteur(source, address: null, guest.Memory.TotalPages, 1, seed: 1);
        var failure = await Assert.ThrowsAsync<MigrationException>(
            () => source.MigrateAsync(destination.LocalAddresses[0], saboteur, Token).WaitAsync(s_patience, Token));

        Assert.Equal((FailureReason.GuestAtDestination, GuestOwner.Destination), (failure.Reason, failure.Owner));
        Assert.Contains("nobody resumed", failure.Message, StringComparison.Ordinal);
        Assert.Equal(0, guest.Resumed);
        await Assert.ThrowsAsync<InvalidOperationException>(() => source.ResumeAsync(destination.LocalAddresses[0], Token));
        Assert.Throws<InvalidOperationException>(source.Pause);
        await destination.DisposeAsync().AsTask().WaitAsync(s_patience, Token); // a guest that is being fetched is given up in no other way
        await Assert.ThrowsAsync<MigrationException>(() => receiving.WaitAsync(s_patience, Token));
    }

    [Theory]
    [InlineData("0004 000C 0000000000007000 00001000")]
    [InlineData("0003 0013 0000000000005000 00001000 06 \"pc.ram\"  0004 000C 0000000000006000 00001000")]
    public async Task Requests_left_over_from_the_lost_link_end_no_recovery(string hex)
    {
        using var guest = TestGuest.Patterned(48 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        await using var link = FaultProxy.Start(
            destination.LocalAddresses[0],
            connection => new FaultPlan { Backward = new Fault { Preface = connection == 0 ? [] : Hex.Bytes(hex) } });
        var source = new MigrationSource(guest, new MigrationSourceOptions
        {
            Postcopy = true,
            RecoveryTimeout = TimeSpan.FromSeconds(60),
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });
        using var saboteur = new Saboteur(source, link.Address, guest.Memory.TotalPages, breaks: 1, seed: 1);
        var sending = source.MigrateAsync(link.Address, saboteur, Token);

        await Task.WhenAll(sending, receiving).WaitAsync(s_patience, Token);

        Assert.Equal(1, (await sending).Postcopy!.Recoveries);
        Assert.DoesNotContain(saboteur.Reasons, static reason => reason.Contains("request for pages", StringComparison.Ordinal));
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    [Fact]
    public async Task An_attempt_that_fails_in_an_unforeseen_way_is_a_failed_attempt()
    {
        using var guest = TestGuest.Patterned(48 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, new MigrationSourceOptions
        {
            Postcopy = true,
            RecoveryTimeout = TimeSpan.FromSeconds(60),
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });
        using var saboteur = new Saboteur(source, destination.LocalAddresses[0], guest.Memory.TotalPages, 1, seed: 1)
        {
            FailsOnce = true,
        };
        await Task.WhenAll(source.MigrateAsync(destination.LocalAddresses[0], saboteur, Token), receiving).WaitAsync(s_patience, Token);
        Assert.False(saboteur.FailsOnce);
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    /// <summary>Breaks the link at random moments of postcopy, and comes again at once.</summary>
    private sealed class Saboteur(MigrationSource source, ChannelAddress? address, long pages, int breaks, int seed)
        : IProgress<MigrationProgress>, IDisposable
    {
        private readonly Random _random = new(seed);
        private long _nextAt = pages;

        public int Broken { get; private set; }

        /// <summary>Why the migration was paused, as it was reported.</summary>
        public HashSet<string> Reasons { get; } = [];

        /// <summary>The first attempt goes to a name that the system's resolver does not even take; false when it has.</summary>
        public bool FailsOnce { get; set; }

        public void Report(MigrationProgress value)
        {
            if (value.IsPaused)
            {
                Reasons.Add(value.PauseReason ?? "");
                TryResume();
                return;
            }

            if (value.Phase != MigrationPhase.Postcopy || Broken == breaks || value.RemainingPages > _nextAt || value.RemainingPages == 0)
            {
                return;
            }

            try
            {
                source.Pause();
                Broken++;
                _nextAt = value.RemainingPages - _random.Next((int)(value.RemainingPages / 2) + 1);
            }
            catch (InvalidOperationException)
            {
                // Not yet, or no more.
            }
        }

        public void Dispose() => _nextAt = -1;

        /// <summary>
        /// The destination may not have noticed yet that its link is lost: then it refuses, and the next report tries again.
        /// </summary>
        private void TryResume()
        {
            try
            {
                if (FailsOnce)
                {
                    _ = source.ResumeAsync(ChannelAddress.Parse($"{new string('a', 300)}:1"));
                    FailsOnce = false;
                }
                else if (address is not null)
                {
                    _ = source.ResumeAsync(address);
                }
            }
            catch (InvalidOperationException)
            {
                // Under way already.
            }
        }
    }
}
