using DataPlane.Postcopy;
using Xunit;
using static DataPlane.Postcopy.GuestOwner;
using static DataPlane.Postcopy.OwnershipEvent;
using static DataPlane.Postcopy.OwnershipVerdict;

namespace DataPlane.Tests.Postcopy;

/// <summary>One row for everything that can happen while the guest is the source's, nobody's for sure, or the destination's.</summary>
public sealed class GuestOwnershipTests
{
    // Here
    [Theory]
    [InlineData(PackageBegins, GoOn, Unconfirmed)]
    [InlineData(DevicesLoaded, GoOn, Source)]
    [InlineData(BitmapReceived, GoOn, Source)]
    [InlineData(EverythingSent, GoOn, Source)]
    [InlineData(Cancelled, RunHere, Source)]
    [InlineData(LinkLost, RunHere, Source)]
    [InlineData(ShutWithSuccess, RunHere, Source)]
    [InlineData(ShutWithFailure, RunHere, Source)]
    internal void Until_the_package_the_guest_is_here_and_stays_whatever_fails(
        OwnershipEvent what, OwnershipVerdict verdict, GuestOwner owner) => Check([], what, verdict, owner);

    // The package is under way
    [Theory]
    [InlineData(PackageBegins, GoOn, Unconfirmed)]
    [InlineData(DevicesLoaded, GoOn, Destination)]
    [InlineData(BitmapReceived, GoOn, Destination)]
    [InlineData(EverythingSent, GoOn, Unconfirmed)]
    [InlineData(Cancelled, GoOn, Unconfirmed)]
    [InlineData(LinkLost, Pause, Unconfirmed)]
    [InlineData(ShutWithSuccess, StayStopped, Unconfirmed)]
    [InlineData(ShutWithFailure, StayStopped, Unconfirmed)]
    internal void Once_the_package_has_begun_nothing_starts_the_guest_here(
        OwnershipEvent what, OwnershipVerdict verdict, GuestOwner owner) => Check([PackageBegins], what, verdict, owner);

    // PONG(0x42)
    [Theory]
    [InlineData(PackageBegins, GoOn, Destination)]
    [InlineData(DevicesLoaded, GoOn, Destination)]
    [InlineData(BitmapReceived, GoOn, Destination)]
    [InlineData(EverythingSent, GoOn, Destination)]
    [InlineData(Cancelled, GoOn, Destination)]
    [InlineData(LinkLost, Pause, Destination)]
    [InlineData(ShutWithSuccess, StayStopped, Destination)]
    [InlineData(ShutWithFailure, StayStopped, Destination)]
    internal void Once_the_devices_are_loaded_the_guest_is_the_destinations(
        OwnershipEvent what, OwnershipVerdict verdict, GuestOwner owner) => Check([PackageBegins, DevicesLoaded], what, verdict, owner);

    // Everything has left
    [Theory]
    [InlineData(LinkLost, Pause, Destination)]
    [InlineData(ShutWithSuccess, Completed, Destination)]
    [InlineData(ShutWithFailure, StayStopped, Destination)]
    [InlineData(Cancelled, GoOn, Destination)]
    internal void After_the_end_of_the_stream_only_SHUT_0_completes(
        OwnershipEvent what, OwnershipVerdict verdict, GuestOwner owner) =>
        Check([PackageBegins, DevicesLoaded, EverythingSent], what, verdict, owner);

    [Fact]
    public void SHUT_0_after_everything_stands_for_a_confirmation_that_was_lost() =>
        Check([PackageBegins, EverythingSent], ShutWithSuccess, Completed, Destination);

    [Fact]
    public void After_a_recovery_everything_has_to_be_sent_again_before_it_is_complete()
    {
        OwnershipEvent[] before = [PackageBegins, DevicesLoaded, EverythingSent, LinkLost, BitmapReceived];
        Check(before, ShutWithSuccess, StayStopped, Destination);
        Check([.. before, EverythingSent], ShutWithSuccess, Completed, Destination);
    }

    [Theory]
    [InlineData(Cancelled, RunHere)]
    [InlineData(LinkLost, RunHere)]
    internal void A_guest_that_goes_on_here_is_not_handed_over_any_more(OwnershipEvent what, OwnershipVerdict verdict) =>
        Check([what], PackageBegins, verdict, Source);

    [Fact]
    public void What_follows_the_last_word_changes_nothing()
    {
        Check([PackageBegins, EverythingSent, ShutWithSuccess], LinkLost, Completed, Destination);
        Check([PackageBegins, DevicesLoaded, ShutWithFailure], ShutWithSuccess, StayStopped, Destination);
    }

    [Fact]
    public async Task Cancelling_and_handing_over_at_the_same_moment_have_one_winner()
    {
        for (var i = 0; i < 200; i++)
        {
            var ownership = new GuestOwnership();
            using var start = new Barrier(2);
            var cancel = Task.Run(() => { start.SignalAndWait(); return ownership.On(Cancelled); }, TestContext.Current.CancellationToken);
            var handOver = Task.Run(
                () => { start.SignalAndWait(); return ownership.On(PackageBegins); }, TestContext.Current.CancellationToken);
            Assert.Equal(await cancel, await handOver);
        }
    }

    private static void Check(OwnershipEvent[] before, OwnershipEvent what, OwnershipVerdict verdict, GuestOwner owner)
    {
        var ownership = new GuestOwnership();
        foreach (var earlier in before)
            ownership.On(earlier);
        Assert.Equal(verdict, ownership.On(what));
        Assert.Equal(owner, ownership.Owner);
    }
}
