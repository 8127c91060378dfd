using System.Collections.Concurrent;
using System.Diagnostics;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.Tests.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>
/// A peer that stops at any byte of any channel: it reads no more, it says no more, or neither. Both ends come to an end of their own within
/// their limits, or by <c>Pause</c> and cancelling where a guest depends on the link, and the guest is never at two places, nor nowhere
/// without a word.
/// </summary>
public sealed class PeerStopsTests
{
    /// <summary>Of stalls, of the destination's word and of closing.</summary>
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);

    public enum Way
    {
        Precopy,
        Multifd,
        Captured,
        CapturedWithPreempt,
        Live,
        Recovery,
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Way.Precopy, false)]
    [InlineData(Way.Precopy, true)]
    [InlineData(Way.Multifd, false)]
    [InlineData(Way.Multifd, true)]
    [InlineData(Way.Captured, false)]
    [InlineData(Way.CapturedWithPreempt, false)]
    [InlineData(Way.Live, false)]
    [InlineData(Way.Recovery, false)]
    public async Task Both_ends_come_to_an_end_wherever_the_other_stops(Way way, bool byCancelling)
    {
        if (way == Way.Live)
            LiveGuest.RequireUserfaultfd();
        var whole = new Stop(int.MaxValue, null, null);
        var (main, other) = await Move.RunAsync(way, whole, byCancelling: false);
        Assert.True(whole.Ended, whole.Story);

        ConcurrentBag<string> wrong = [];
        await Parallel.ForEachAsync(
            StopsIn(way, main, other), new ParallelOptions { MaxDegreeOfParallelism = 6, CancellationToken = Token },
            async (stop, _) =>
            {
                await Move.RunAsync(way, stop, byCancelling);
                if (!stop.Ended || stop.Wrong is not null)
                    wrong.Add($"{stop}: {stop.Wrong ?? "no end"}\n  {stop.Story}");
            });
        Assert.Empty(wrong);
    }

    private static IEnumerable<Stop> StopsIn(Way way, (long Forward, long Backward) main, (long Forward, long Backward) other)
    {
        var first = way == Way.Recovery ? 1 : 0;
        foreach (var at in (long[])[0, 9, main.Forward / 4, main.Forward / 2, main.Forward - 300, main.Forward - 1])
        {
            yield return new Stop(first, at, null);
            yield return new Stop(first, at, at % 2 == 0 ? 0 : 12);
        }

        foreach (var at in (long[])[0, 5, 12, main.Backward / 2, main.Backward - 8, main.Backward - 1])
            yield return new Stop(first, null, at);
        if (way is Way.Multifd or Way.CapturedWithPreempt)
        {
            foreach (var at in (long[])[0, 60, other.Forward / 2, other.Forward - 1])
            {
                if (at >= 0)
                    yield return new Stop(1, at, null);
            }
        }
    }

    /// <summary>Where a connection stops passing on bytes: forward is what the source sends.</summary>
    private sealed class Stop(int connection, long? forward, long? backward)
    {
        private readonly ConcurrentQueue<string> _story = [];

        public bool Ended { get; set; }

        public string? Wrong { get; set; }

        public string Story => string.Join("\n  ", _story);

        public void Note(string what) => _story.Enqueue(what);

        public FaultPlan PlanFor(Way way, int index)
        {
            var isHere = way == Way.Recovery ? index >= connection : index == connection;
            return !isHere ? FaultPlan.None : new FaultPlan
            {
                Forward = new Fault { StallAt = forward },
                Backward = new Fault { StallAt = backward },
            };
        }

        public override string ToString() => $"connection {connection}, forward {forward}, backward {backward}";
    }

    /// <summary>One migration through a network that stops.</summary>
    private sealed class Move : IProgress<MigrationProgress>
    {
        private volatile MigrationProgress? _last;

        public void Report(MigrationProgress value) => _last = value;

        /// <summary>Returns the bytes that went over main, and over the connection after it.</summary>
        public static async Task<((long, long) Main, (long, long) Other)> RunAsync(Way way, Stop stop, bool byCancelling)
        {
            var move = new Move();
            var postcopy = way >= Way.Captured;
            var (preempt, runs) = (way == Way.CapturedWithPreempt, way == Way.Live);
            var channels = way == Way.Multifd ? 2 : 0;
            // Small buffers: what the kernel holds hides where a peer has stopped.
            var sockets = new ChannelOptions { SendBufferBytes = 16 * 1024, ReceiveBufferBytes = 16 * 1024 };
            TimeSpan? stall = byCancelling ? Timeout.InfiniteTimeSpan : s_limit;
            using var guest = TestGuest.Patterned(3 << 20, whileRunning: static (guest, collection) =>
            {
                for (long page = 0; page < 4 && collection == 1; page++)
                    guest.Write(guest.Memory.Blocks[0], page, (byte)page);
            });
            using var captured = new TestIncomingGuest();
            // Nobody runs on it: whoever touched memory that has been given up would be killed, and this process with him.
            using var live = new LiveGuest(guest.Memory, RamAllocation.Default with { HugePages = false }, threads: 0);
            await using var destination = new MigrationDestination(
                [ChannelAddress.Parse("127.0.0.1:0")],
                runs ? live : captured,
                new MigrationDestinationOptions
                {
                    MultifdChannels = channels,
                    Postcopy = postcopy,
                    Preempt = preempt,
                    StallTimeout = stall,
                    CloseTimeout = s_limit,
                    Channels = sockets,
                });
            await using var network = FaultProxy.Start(destination.LocalAddresses[0], index => stop.PlanFor(way, index));
            var source = new MigrationSource(guest, new MigrationSourceOptions
            {
                MultifdChannels = channels,
                Postcopy = postcopy,
                Preempt = preempt,
                StallTimeout = stall,
                CommitTimeout = s_limit,
                RecoveryTimeout = postcopy ? TimeSpan.FromMinutes(5) : TimeSpan.Zero,
                ProgressInterval = TimeSpan.FromMilliseconds(5),
                Channels = sockets,
            });
            if (postcopy)
                source.SwitchToPostcopy();
            using var cancelSource = new CancellationTokenSource();
            using var cancelDestination = new CancellationTokenSource();
            var receiving = destination.ReceiveAsync(cancellationToken: cancelDestination.Token);
            var sending = source.MigrateAsync(network.Address, move, cancelSource.Token);
            var both = Task.WhenAll(Settle(sending), Settle(receiving));
            var steward = new Steward(way, move, source, destination, network, cancelSource, cancelDestination, stop, byCancelling);
            stop.Ended = await steward.SeeToEndAsync(both);
            if (!stop.Ended)
            {
                // What hangs must not hold up the other cases, too.
                foreach (var index in (int[])[0, 1, 2])
                {
                    if (network.LinkAsync(index, Token) is { IsCompletedSuccessfully: true } link)
                        (await link).Cut(reset: true);
                }

                return default;
            }

            stop.Note($"source: {Describe(sending)}");
            stop.Note($"destination: {Describe(receiving)}");
            stop.Wrong = Judge(guest.IsRunning, runs ? live.Has("start") : captured.Started, sending, receiving);
            return ((await BytesAsync(network, 0)), (await BytesAsync(network, 1)));
        }

        private static string? Judge(bool runsHere, bool runsThere, Task sending, Task receiving)
        {
            if (runsHere && runsThere)
                return "the guest runs twice";
            if (!runsHere && !runsThere && !IsUnknown(sending) && !IsUnknown(receiving))
                return "the guest runs nowhere, and nobody says so";
            return null;
        }

        private static bool IsUnknown(Task task) =>
            task.Exception?.InnerException is MigrationException { Reason: FailureReason.OutcomeUnknown or FailureReason.GuestAtDestination };

        private static async Task<(long, long)> BytesAsync(FaultProxy network, int index)
        {
            var link = network.LinkAsync(index, Token);
            return link.IsCompletedSuccessfully ? ((await link).ForwardBytes, (await link).BackwardBytes) : (0, 0);
        }

        private static string Describe(Task task) => task.Exception?.InnerException is { } failure
            ? $"{(failure as MigrationException)?.Reason} {failure.Message}" : task.Status.ToString();

        private static async Task Settle(Task task) => await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        /// <summary>What an operator does who sees that nothing moves.</summary>
        private sealed class Steward(
            Way way,
            Move move,
            MigrationSource source,
            MigrationDestination destination,
            FaultProxy network,
            CancellationTokenSource cancelSource,
            CancellationTokenSource cancelDestination,
            Stop stop,
            bool byCancelling)
        {
            private bool _cut;
            private long _stalledAt;

            public async Task<bool> SeeToEndAsync(Task both)
            {
                var started = Stopwatch.GetTimestamp();
                while (!both.IsCompleted && Stopwatch.GetElapsedTime(started) < s_patience)
                {
                    await Task.WhenAny(both, Task.Delay(20, CancellationToken.None));
                    await LookAsync();
                }

                return both.IsCompleted;
            }

            private async Task LookAsync()
            {
                var now = move._last;
                if (way == Way.Recovery)
                    await RecoverAsync(now);
                if (!await HasStalledAsync())
                    return;
                if (_stalledAt == 0)
                    _stalledAt = Stopwatch.GetTimestamp();
                // Nothing has ended by itself meanwhile, or is not to: it is ended by hand.
                if (byCancelling)
                {
                    await cancelSource.CancelAsync();
                    await cancelDestination.CancelAsync();
                }
                else if (way >= Way.Captured && Stopwatch.GetElapsedTime(_stalledAt) > 2 * s_limit)
                {
                    PauseSource();
                    destination.Pause();
                    if (now is { IsPaused: true, IsRecovering: false })
                        await GiveUpAsync();
                }
            }

            private void PauseSource()
            {
                try
                {
                    source.Pause();
                }
                catch (InvalidOperationException)
                {
                    // There is no link, or nobody knows yet whose the guest is: that has its limit.
                }
            }

            private async Task GiveUpAsync()
            {
                stop.Note("paused, given up");
                await cancelSource.CancelAsync();
                await destination.DisposeAsync();
            }

            private async Task RecoverAsync(MigrationProgress? now)
            {
                if (!_cut && now is { Phase: MigrationPhase.Postcopy } && network.LinkAsync(0, Token) is { IsCompletedSuccessfully: true } link)
                {
                    if (now.NormalPages == 0)
                        return;
                    _cut = true;
                    (await link).Cut(reset: true);
                }
                else if (_cut && _stalledAt == 0 && now is { IsPaused: true, IsRecovering: false })
                {
                    try
                    {
                        source.Resume(network.Address);
                    }
                    catch (InvalidOperationException)
                    {
                        // Under way.
                    }
                }
            }

            private async Task<bool> HasStalledAsync()
            {
                for (var index = way == Way.Recovery ? 1 : 0; index < 64; index++)
                {
                    var link = network.LinkAsync(index, CancellationToken.None);
                    if (!link.IsCompleted)
                        return false;
                    if (link.IsCompletedSuccessfully && (await link).Stalled.IsCompleted)
                        return true;
                }

                return false;
            }
        }
    }
}
