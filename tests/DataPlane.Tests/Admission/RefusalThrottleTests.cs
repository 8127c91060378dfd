using DataPlane.Admission;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Admission;

public sealed class RefusalThrottleTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Of_each_reason_the_first_are_told_and_the_others_counted()
    {
        var throttle = new RefusalThrottle(_time);
        var told = Enumerable.Range(0, 1000).Count(i => throttle.TryPass(RefusalReason.Garbage, $"peer {i}"));
        Assert.Equal(RefusalThrottle.Burst, told);
        Assert.True(throttle.TryPass(RefusalReason.Silent, "another reason"));
        Assert.Empty(throttle.TakeLeftOut());

        _time.Advance(RefusalThrottle.Window);

        Assert.True(throttle.Due <= _time.GetTimestamp());
        Assert.Equal((RefusalReason.Garbage, 1000 - told, "peer 999"), Assert.Single(throttle.TakeLeftOut()));
        Assert.Equal(long.MaxValue, throttle.Due);
        Assert.True(throttle.TryPass(RefusalReason.Garbage, "a new window"));
    }

    [Fact]
    public void A_flood_without_an_end_is_a_few_lines_per_window()
    {
        var throttle = new RefusalThrottle(_time);
        var lines = 0;
        for (var i = 0; i < 6000; i++)
        {
            lines += throttle.TryPass(RefusalReason.Garbage, "peer") ? 1 : 0;
            lines += throttle.TakeLeftOut().Count;
            _time.Advance(TimeSpan.FromMilliseconds(10));
        }

        Assert.InRange(lines, 6, 7 * (RefusalThrottle.Burst + 1));
    }

    [Fact]
    public void What_was_left_out_is_told_at_the_end()
    {
        var throttle = new RefusalThrottle(_time);
        for (var i = 0; i < RefusalThrottle.Burst + 3; i++)
        {
            throttle.TryPass(RefusalReason.TlsOnPlain, "peer");
        }

        Assert.Equal(3, Assert.Single(throttle.TakeLeftOut(all: true)).Count);
        Assert.Empty(throttle.TakeLeftOut(all: true));
    }
}
