using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// The source is in the middle of a send on the preempt channel that its destination does not read, and everything else has been sent: the
/// thread that would hear of main is the one that sends.
/// </summary>
public sealed class StuckPreemptTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_link_can_be_given_up_or_lost_and_replaced(bool paused)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true, Preempt = true });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        await using var network = FaultProxy.Start(
            destination.LocalAddresses[0],
            static index => index == 1 ? new FaultPlan { Forward = new Fault { StallAt = 4096 } } : FaultPlan.None);
        var source = new MigrationSource(guest, new MigrationSourceOptions
        {
            Postcopy = true,
            Preempt = true,
            MaxPostcopyBytesPerSecond = 16 << 20, // requests come before the background has sent everything
            RecoveryTimeout = TimeSpan.FromMinutes(5),
            ProgressInterval = TimeSpan.FromMilliseconds(5),
            Sockets = new ChannelOptions { SendBufferBytes = 16 * 1024 },
        });
        var progress = new LastProgress();
        var sending = source.MigrateAsync(network.Address, progress, Token);
        await UntilAsync(
            () => progress.Last is { Phase: MigrationPhase.Postcopy, RemainingPages: 0 }, "everything but the stuck pages has left");
        Assert.False(sending.IsCompleted);

        if (paused)
        {
            source.Pause();
        }
        else
        {
            (await network.LinkAsync(0, Token)).Cut(reset: true);
        }

        await UntilAsync(() => progress.Last is { IsPaused: true }, "the source is paused");

        await UntilAsync(
            () =>
            {
                if (progress.Last is { IsPaused: true, IsRecovering: false })
                {
                    destination.Pause();
                    TryResume(source, network.Address);
                }

                return sending.IsCompleted && receiving.IsCompleted;
            },
            "the migration goes on over a new link");
        await Task.WhenAll(sending, receiving);
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    private static void TryResume(MigrationSource source, ChannelAddress address)
    {
        try
        {
            _ = source.ResumeAsync(address);
        }
        catch (InvalidOperationException)
        {
            // Under way already.
        }
    }

    private static Task UntilAsync(Func<bool> condition, string what) =>
        Eventually.TrueAsync(condition, what, Token).WaitAsync(s_patience, Token);
}

/// <summary>Keeps the last report.</summary>
internal sealed class LastProgress : IProgress<MigrationProgress>
{
    private volatile MigrationProgress? _last;

    public MigrationProgress? Last => _last;

    public void Report(MigrationProgress value) => _last = value;
}
