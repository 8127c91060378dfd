using DataPlane.Admission;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>The timer that wakes the admission thread, under a clock that the test moves.</summary>
public sealed class AdmissionClockTests : IDisposable
{
    private readonly EventFd _wake = new();
    private readonly HandTimer _timer = new();
    private readonly HandTime _time;
    private readonly AdmissionClock _clock;

    public AdmissionClockTests()
    {
        _time = new HandTime(_timer);
        _clock = new AdmissionClock(_time, _wake);
    }

    public void Dispose()
    {
        _clock.Dispose();
        _wake.Dispose();
    }

    [Fact]
    public void A_timer_that_fires_early_is_set_again()
    {
        var due = _clock.After(TimeSpan.FromSeconds(4));
        _clock.WakeAt(due);
        Assert.Equal([TimeSpan.FromSeconds(4)], _timer.Set);

        _time.Now = due - (TimeSpan.TicksPerMillisecond * 3);
        _timer.Fire();
        _clock.WakeAt(due);

        Assert.Equal([TimeSpan.FromSeconds(4), TimeSpan.FromMilliseconds(3)], _timer.Set);
    }

    [Fact]
    public void A_timer_that_is_due_earlier_is_left_alone_until_it_has_fired()
    {
        var due = _clock.After(TimeSpan.FromSeconds(4));
        _clock.WakeAt(due);
        _time.Now = due + 1; // it is late, and still to come
        _clock.WakeAt(_clock.After(TimeSpan.FromSeconds(1)));
        Assert.Single(_timer.Set);

        _timer.Fire();
        _clock.WakeAt(_clock.After(TimeSpan.FromSeconds(1)));

        Assert.Equal([TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(1)], _timer.Set);
    }

    [Fact]
    public void What_is_due_earlier_sets_the_timer_earlier_and_what_is_over_wakes_at_once()
    {
        _clock.WakeAt(_clock.After(TimeSpan.FromSeconds(4)));
        _clock.WakeAt(_clock.After(TimeSpan.FromSeconds(2)));
        Assert.Equal([TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(2)], _timer.Set);

        _clock.WakeAt(_clock.Now);

        AssertWoken();
        Assert.Equal(2, _timer.Set.Count);
    }

    [Fact]
    public void A_clock_that_moves_on_while_the_timer_is_set_delays_nothing()
    {
        var due = _clock.After(TimeSpan.FromSeconds(4));
        _timer.BeforeSet = () => _time.Now = due;

        _clock.WakeAt(due);

        AssertWoken();
    }

    private void AssertWoken()
    {
        using var epoll = new EpollSet(1);
        Assert.True(epoll.TryAdd(_wake.Descriptor, 7));
        Assert.Equal(1, epoll.Wait());
    }

    private sealed class HandTime(HandTimer timer) : TimeProvider
    {
        internal long Now { get; set; } = TimeSpan.TicksPerDay;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            timer.Fire = () => callback(state);
            return timer;
        }
    }

    private sealed class HandTimer : ITimer
    {
        internal List<TimeSpan> Set { get; } = [];

        internal Action Fire { get; set; } = static () => { };

        internal Action BeforeSet { get; set; } = static () => { };

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            BeforeSet();
            Set.Add(dueTime);
            return true;
        }

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => default;
    }
}
