using DataPlane.Migration;
using DataPlane.TestSupport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>The limits for a silent peer, while it is our own host that works.</summary>
public sealed class HostWorkTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void A_limit_does_not_run_while_the_host_works_and_runs_again_after_it()
    {
        var time = new FakeTimeProvider();
        var work = new HostWork();
        var fired = 0;
        using var watch = StallWatch.Start(time, TimeSpan.FromMinutes(1), () => work.Count(7), () => fired++);
        using (work.Begin())
        {
            Advance(time, TimeSpan.FromHours(1));
        }

        Assert.Equal(0, fired);
        Advance(time, TimeSpan.FromMinutes(2));
        Assert.Equal(1, fired);
    }

    /// <summary>Zeros over the space of a big VM, where the file system cannot reserve it: an hour of the destination's own work.</summary>
    [Fact]
    public async Task Memory_that_takes_long_to_make_is_no_silent_source()
    {
        var time = new FakeTimeProvider();
        using var incoming = new TestIncomingGuest { OnCreate = () => Advance(time, TimeSpan.FromHours(1)) };
        await MoveAsync(incoming, whilePaused: null, sourceClock: null, destinationClock: time);
        Assert.True(incoming.Started);
    }

    [Fact]
    public async Task A_guest_that_takes_long_to_stop_is_no_silent_destination()
    {
        var time = new FakeTimeProvider();
        using var incoming = new TestIncomingGuest();
        await MoveAsync(incoming, whilePaused: () => Advance(time, TimeSpan.FromHours(1)), sourceClock: time, destinationClock: null);
        Assert.True(incoming.Started);
    }

    private static async Task MoveAsync(
        TestIncomingGuest incoming, Action? whilePaused, TimeProvider? sourceClock, TimeProvider? destinationClock)
    {
        using var guest = TestGuest.Patterned(4 << 20, whileRunning: static (_, _) => { });
        guest.OnPaused = _ =>
        {
            whilePaused?.Invoke();
            return Task.CompletedTask;
        };
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions(), timeProvider: destinationClock);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, new MigrationSourceOptions(), timeProvider: sourceClock);
        await Task.WhenAll(source.MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token), receiving)
            .WaitAsync(TimeSpan.FromMinutes(2), Token);
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    private static void Advance(FakeTimeProvider time, TimeSpan by)
    {
        for (var step = TimeSpan.Zero; step < by; step += TimeSpan.FromSeconds(15))
        {
            time.Advance(TimeSpan.FromSeconds(15));
        }
    }
}
