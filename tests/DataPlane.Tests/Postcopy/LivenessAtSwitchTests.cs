using System.Collections.Concurrent;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// A running guest is cut off from its memory for one reason only: another link may follow. Where none may, the network is given the time
/// that TCP gives it.
/// </summary>
public sealed class LivenessAtSwitchTests
{
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(2);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0, false)]
    [InlineData(60, true)]
    public async Task Acknowledgements_are_watched_after_the_switch_where_a_recovery_may_follow(int recoverySeconds, bool isWatched)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var clock = new LiveTimers();
        var source = new MigrationSource(
            guest,
            new MigrationSourceOptions { Postcopy = true, RecoveryTimeout = TimeSpan.FromSeconds(recoverySeconds) },
            timeProvider: clock);
        var seen = new Phases(clock);
        await Task.WhenAll(source.MigrateAsync(destination.LocalAddresses[0], seen, Token), receiving)
            .WaitAsync(TimeSpan.FromMinutes(2), Token);

        Assert.Equal(1, seen.Looks[MigrationPhase.Setup]);
        Assert.Equal(isWatched ? 1 : 0, seen.Looks[MigrationPhase.Postcopy]);
    }

    /// <summary>Timers that look every two seconds, when each phase begins.</summary>
    private sealed class Phases(LiveTimers clock) : IProgress<MigrationProgress>
    {
        public ConcurrentDictionary<MigrationPhase, int> Looks { get; } = new();

        public void Report(MigrationProgress value) => Looks.TryAdd(value.Phase, clock.Count(s_look));
    }

    private sealed class LiveTimers : TimeProvider
    {
        private readonly ConcurrentDictionary<Timer, TimeSpan> _periods = new();

        public int Count(TimeSpan period) => _periods.Values.Count(each => each == period);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = new Timer(base.CreateTimer(callback, state, dueTime, period), _periods);
            _periods[timer] = period;
            return timer;
        }

        private sealed class Timer(ITimer timer, ConcurrentDictionary<Timer, TimeSpan> all) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(dueTime, period);

            public void Dispose()
            {
                all.TryRemove(this, out _);
                timer.Dispose();
            }

            public ValueTask DisposeAsync()
            {
                all.TryRemove(this, out _);
                return timer.DisposeAsync();
            }
        }
    }
}
