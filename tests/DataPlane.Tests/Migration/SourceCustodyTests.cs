using DataPlane.Migration.Custody;
using DataPlane.TestSupport;
using Xunit;
using static DataPlane.GuestOwner;
using static DataPlane.Migration.Custody.SourceEvent;
using static DataPlane.Migration.Custody.SourceVerdict;

namespace DataPlane.Tests.Migration;

/// <summary>A test for each cell of the table of <see cref="SourceCustody"/>.</summary>
public sealed class SourceCustodyTests
{
    private static readonly SourceEvent[] s_lastByteSent = [LastByteBegins, LastByteSent];

    [Theory]
    [InlineData(CalledOff, RunHere, Source)]
    [InlineData(LastByteBegins, GoOn, Source)]
    [InlineData(PackageBegins, GoOn, Unknown)]
    [InlineData(DevicesLoaded, GoOn, Source)]
    [InlineData(Failed, RunHere, Source)]
    internal void Here_every_failure_lets_the_guest_run_on(SourceEvent what, SourceVerdict verdict, GuestOwner owner) =>
        Check([], what, verdict, owner);

    [Theory]
    [InlineData(CalledOff, GoOn, Source)]
    [InlineData(LastByteSent, GoOn, Unknown)]
    [InlineData(Failed, RunHere, Source)]
    internal void While_the_last_byte_leaves_cancelling_has_no_effect(SourceEvent what, SourceVerdict verdict, GuestOwner owner) =>
        Check([LastByteBegins], what, verdict, owner);

    [Theory]
    [InlineData(CalledOff, GoOn, Unknown)]
    [InlineData(Failed, StayStopped, Unknown)]
    [InlineData(ShutWithSuccess, Completed, Destination)]
    [InlineData(ShutWithFailure, RunHere, Source)]
    internal void After_the_last_byte_only_SHUT_decides(SourceEvent what, SourceVerdict verdict, GuestOwner owner) =>
        Check(s_lastByteSent, what, verdict, owner);

    [Theory]
    [InlineData(CalledOff, GoOn, Unknown)]
    [InlineData(DevicesLoaded, GoOn, Destination)]
    [InlineData(EverythingSent, GoOn, Unknown)]
    [InlineData(BitmapReceived, GoOn, Destination)]
    [InlineData(Failed, Pause, Unknown)]
    [InlineData(ShutWithSuccess, StayStopped, Unknown)]
    [InlineData(ShutWithFailure, StayStopped, Unknown)]
    internal void After_the_package_nothing_lets_the_guest_run_here(SourceEvent what, SourceVerdict verdict, GuestOwner owner) =>
        Check([PackageBegins], what, verdict, owner);

    [Theory]
    [InlineData(CalledOff, GoOn, Destination)]
    [InlineData(DevicesLoaded, GoOn, Destination)]
    [InlineData(EverythingSent, GoOn, Destination)]
    [InlineData(BitmapReceived, GoOn, Destination)]
    [InlineData(Failed, Pause, Destination)]
    [InlineData(ShutWithSuccess, StayStopped, Destination)]
    [InlineData(ShutWithFailure, StayStopped, Destination)]
    internal void Once_the_devices_are_loaded_the_guest_is_the_destinations(
        SourceEvent what, SourceVerdict verdict, GuestOwner owner) => Check([PackageBegins, DevicesLoaded], what, verdict, owner);

    [Theory]
    [InlineData(CalledOff, GoOn, Destination)]
    [InlineData(Failed, Pause, Destination)]
    [InlineData(ShutWithSuccess, Completed, Destination)]
    [InlineData(ShutWithFailure, StayStopped, Destination)]
    internal void After_the_end_of_a_postcopy_SHUT_0_completes_it(SourceEvent what, SourceVerdict verdict, GuestOwner owner) =>
        Check([PackageBegins, DevicesLoaded, EverythingSent], what, verdict, owner);

    [Fact]
    public void SHUT_0_after_everything_stands_for_a_confirmation_that_was_lost() =>
        Check([PackageBegins, EverythingSent], ShutWithSuccess, Completed, Destination);

    [Fact]
    public void After_a_recovery_everything_has_to_be_sent_again_before_it_is_complete()
    {
        SourceEvent[] before = [PackageBegins, DevicesLoaded, EverythingSent, Failed, BitmapReceived];
        Check(before, ShutWithSuccess, StayStopped, Destination);
        Check([.. before, EverythingSent], ShutWithSuccess, Completed, Destination);
    }

    [Theory]
    [InlineData(CalledOff, PackageBegins)]
    [InlineData(Failed, PackageBegins)]
    [InlineData(CalledOff, LastByteBegins)]
    [InlineData(Failed, LastByteBegins)]
    internal void A_guest_that_goes_on_here_is_not_handed_over_any_more(SourceEvent before, SourceEvent what) =>
        Check([before], what, RunHere, Source);

    [Fact]
    public void The_first_verdict_that_ends_the_migration_stands()
    {
        Check([PackageBegins, EverythingSent, ShutWithSuccess], Failed, Completed, Destination);
        Check([PackageBegins, DevicesLoaded, ShutWithFailure], ShutWithSuccess, StayStopped, Destination);
        Check([.. s_lastByteSent, ShutWithFailure], ShutWithSuccess, RunHere, Source);
        Check([.. s_lastByteSent, Failed], ShutWithSuccess, StayStopped, Unknown);
    }

    [Fact]
    public void A_cell_that_no_caller_reaches_throws()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        var custody = new SourceCustody(guest, TimeProvider.System);
        Assert.All(
            [LastByteSent, EverythingSent, BitmapReceived, ShutWithSuccess, ShutWithFailure],
            what => Assert.Throws<InvalidOperationException>(() => custody.On(what)));
    }

    [Theory]
    [InlineData(PackageBegins)]
    [InlineData(LastByteBegins)]
    internal async Task Cancelling_and_handing_over_at_the_same_moment_have_one_winner(SourceEvent handOver)
    {
        using var guest = TestGuest.Patterned(1 << 20);
        for (var i = 0; i < 200; i++)
        {
            var custody = new SourceCustody(guest, TimeProvider.System);
            using var start = new Barrier(2);
            var cancelling = Task.Run(
                () =>
                {
                    start.SignalAndWait();
                    return custody.On(CalledOff);
                },
                TestContext.Current.CancellationToken);
            var leaving = Task.Run(() => { start.SignalAndWait(); return custody.On(handOver); }, TestContext.Current.CancellationToken);
            Assert.Equal(await cancelling, await leaving);
        }
    }

    [Theory]
    [InlineData(new SourceEvent[0], 1)]
    [InlineData(new[] { LastByteBegins }, 1)]
    [InlineData(new[] { LastByteBegins, LastByteSent }, 0)]
    [InlineData(new[] { LastByteBegins, LastByteSent, ShutWithFailure }, 1)]
    [InlineData(new[] { PackageBegins }, 0)]
    [InlineData(new[] { PackageBegins, ShutWithFailure }, 0)]
    internal async Task A_stopped_guest_runs_again_only_where_it_is_the_sources(SourceEvent[] before, int resumed)
    {
        using var guest = TestGuest.Patterned(1 << 20);
        guest.IsRunning = true;
        var custody = new SourceCustody(guest, TimeProvider.System);
        Assert.True(await custody.StopAsync(TestContext.Current.CancellationToken));
        foreach (var earlier in before)
        {
            custody.On(earlier);
        }

        await custody.EndAsync();

        Assert.Equal(resumed, guest.Resumed);
    }

    [Fact]
    public async Task A_guest_whose_pause_failed_half_way_runs_again_whatever_its_clock_says()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        guest.IsRunning = true;
        guest.OnPaused = static _ => throw new IOException("half-way");
        var custody = new SourceCustody(guest, new ClockAtZero());
        await Assert.ThrowsAsync<IOException>(() => custody.StopAsync(TestContext.Current.CancellationToken));

        await custody.EndAsync();

        Assert.Equal(1, guest.Resumed);
    }

    [Fact]
    public async Task A_guest_that_stood_still_before_is_not_started()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        var custody = new SourceCustody(guest, TimeProvider.System);
        Assert.False(await custody.StopAsync(TestContext.Current.CancellationToken));

        await custody.EndAsync();

        Assert.Equal(0, guest.Resumed);
        Assert.Equal(TimeSpan.Zero, custody.StoodStillUntil(TimeProvider.System.GetTimestamp()));
    }

    private static void Check(SourceEvent[] before, SourceEvent what, SourceVerdict verdict, GuestOwner owner)
    {
        using var guest = TestGuest.Patterned(1 << 20);
        var custody = new SourceCustody(guest, TimeProvider.System);
        foreach (var earlier in before)
        {
            custody.On(earlier);
        }

        Assert.Equal(verdict, custody.On(what));
        Assert.Equal(owner, custody.Owner);
    }

    private sealed class ClockAtZero : TimeProvider
    {
        public override long GetTimestamp() => 0;
    }
}
