using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class SendLimitTests
{
    [Fact]
    public void Senders_get_their_turns_one_after_the_other_at_the_rate()
    {
        var time = new FakeTimeProvider();
        var limit = new SendLimit(1000, time, CancellationToken.None);
        Assert.Equal(TimeSpan.Zero, limit.Reserve(500));
        Assert.InRange(limit.Reserve(1000).TotalMilliseconds, 480, 500); // at most 20 ms of credit
        Assert.InRange(limit.Reserve(100).TotalMilliseconds, 1480, 1500);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.InRange(limit.Reserve(100).TotalMilliseconds, 580, 600);
    }

    [Fact]
    public void Time_in_which_nothing_was_sent_is_not_saved_up()
    {
        var time = new FakeTimeProvider();
        var limit = new SendLimit(1000, time, CancellationToken.None);
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(TimeSpan.Zero, limit.Reserve(1000));
        Assert.InRange(limit.Reserve(1).TotalMilliseconds, 980, 1000);
    }

    [Fact]
    public void A_wait_shows_as_progress_and_ends_when_everything_is_stopped()
    {
        using var stop = new CancellationTokenSource();
        var limit = new SendLimit(1, TimeProvider.System, stop.Token);
        limit.Take([new IoVec(0, 1000)]);
        Assert.Equal(0, limit.Pauses);
        stop.Cancel();
        limit.Take([new IoVec(0, 1)]); // a quarter of an hour, but for the stop
        Assert.Equal(1, limit.Pauses);
    }
}
