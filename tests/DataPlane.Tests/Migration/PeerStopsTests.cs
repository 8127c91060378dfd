using System.Collections.Concurrent;
using System.Diagnostics;
using DataPlane.Tests.Postcopy;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>
/// A peer that stops at any byte of any channel: it reads no more, it says no more, or neither. Both ends come to an end of their own
/// within their limits, or by <c>Pause</c> and cancelling where a guest depends on the link, and the guest is never at two places, nor
/// nowhere without a word.
/// </summary>
public sealed class PeerStopsTests
{
    /// <summary>Of stalls, of the destination's SHUT and of closing.</summary>
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(2);

    private const int PingBytes = 9;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);

    public enum Way
    {
        Precopy,
        Multifd,
        Tls,
        Captured,
        CapturedWithPreempt,
        CapturedInsideTls,
        Live,
        LiveWithPreempt,
        LiveInsideTls,
        Recovery,
    }

    private static readonly Way[] s_all = Enum.GetValues<Way>();

    /// <summary>The rest of all ways, endings and networks.</summary>
    public static TheoryData<Way, bool, bool> Rest => new(
        from way in s_all
        from byCancelling in (bool[])[false, true]
        from isNarrow in (bool[])[false, true]
        where isNarrow || byCancelling || IsSecured(way) || way == Way.LiveWithPreempt // the others are above
        where isNarrow || way is not (Way.Precopy or Way.Multifd)
        select new TheoryDataRow<Way, bool, bool>(way, byCancelling, isNarrow));

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
    public Task Both_ends_come_to_an_end_wherever_the_other_stops(Way way, bool byCancelling) =>
        CheckAsync(way, byCancelling, isNarrow: false);

    /// <summary>
    /// Narrow: the network itself holds next to nothing, so an end whose peer reads no more stands before full buffers at whatever it says
    /// next, the last flush, SHUT 0 and the questions of a recovery among it.
    /// </summary>
    [Theory(Explicit = true)]
    [MemberData(nameof(Rest))]
    public Task Both_ends_come_to_an_end_in_every_other_way(Way way, bool byCancelling, bool isNarrow) =>
        CheckAsync(way, byCancelling, isNarrow);

    /// <summary>
    /// The destination answers that all memory has come, and reads no more: the source stands before a full buffer somewhere in the device
    /// state, at its end, or at the last byte of the stream, or it waits for SHUT.
    /// </summary>
    [Fact]
    public async Task The_source_ends_however_much_fits_before_the_last_byte()
    {
        ConcurrentBag<(int Size, FailureReason? Reason, bool Runs)> ends = [];
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 32).Select(static step => 1 + ((8 * step) << 10)),
            new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Token },
            async (size, _) => ends.Add(await Move.FillAsync(size)));

        Assert.All(ends, static end => Assert.True(
            end.Reason is FailureReason.Stalled or FailureReason.OutcomeUnknown && end.Runs == (end.Reason == FailureReason.Stalled),
            end.ToString()));
        // Whatever stands between the two has been met.
        Assert.Contains(ends, static end => end.Reason == FailureReason.Stalled);
        Assert.Contains(ends, static end => end.Reason == FailureReason.OutcomeUnknown);
    }

    private static bool IsLive(Way way) => way is Way.Live or Way.LiveWithPreempt or Way.LiveInsideTls;

    private static bool HasPreempt(Way way) => way is Way.CapturedWithPreempt or Way.LiveWithPreempt;

    private static bool IsSecured(Way way) => way is Way.Tls or Way.CapturedInsideTls or Way.LiveInsideTls;

    private static async Task CheckAsync(Way way, bool byCancelling, bool isNarrow)
    {
        if (IsLive(way))
        {
            LiveGuest.RequireUserfaultfd();
        }

        var whole = new Stop(int.MaxValue, null, null) { IsNarrow = isNarrow };
        var (main, other) = await Move.RunAsync(way, whole, byCancelling: false);
        Assert.True(whole.Ended, whole.Story);

        ConcurrentBag<string> wrong = [];
        await Parallel.ForEachAsync(
            StopsIn(way, main, other), new ParallelOptions { MaxDegreeOfParallelism = 6, CancellationToken = Token },
            async (stop, _) =>
            {
                stop.IsNarrow = isNarrow;
                await Move.RunAsync(way, stop, byCancelling);
                if (!stop.Ended || stop.Wrong is not null)
                {
                    wrong.Add($"{stop}: {stop.Wrong ?? "no end"}\n  {stop.Story}");
                }
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
        {
            yield return new Stop(first, null, at);
        }

        if (way is Way.Multifd || HasPreempt(way))
        {
            foreach (var at in (long[])[0, 60, other.Forward / 2, other.Forward - 1])
            {
                if (at >= 0)
                {
                    yield return new Stop(1, at, null);
                }
            }
        }
    }

    /// <summary>Where a connection stops passing on bytes: forward is what the source sends.</summary>
    private sealed class Stop(int connection, long? forward, long? backward)
    {
        private readonly ConcurrentQueue<string> _story = [];

        public bool Ended { get; set; }

        public bool IsNarrow { get; set; }

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
        /// <summary>The least that a kernel gives, about.</summary>
        private const int NarrowBytes = 4 * 1024;

        private volatile MigrationProgress? _last;

        /// <summary>How a source ends whose device state has <paramref name="size"/> bytes, and whether its guest runs then.</summary>
        public static async Task<(int Size, FailureReason? Reason, bool Runs)> FillAsync(int size)
        {
            using var guest = TestGuest.Patterned(1 << 20, whileRunning: static (_, _) => { }, devices: new byte[size]);
            using var captured = new TestIncomingGuest();
            await using var destination = new MigrationDestination(
                [ChannelAddress.Parse("127.0.0.1:0")], captured, new MigrationDestinationOptions { CloseTimeout = s_limit });
            await using var network = FaultProxy.Start(
                destination.LocalAddresses[0],
                static _ => new FaultPlan { Forward = new Fault { StallAtRecord = new FaultPoint("PING", 2, PingBytes) } },
                NarrowBytes);
            var source = new MigrationSource(guest, new MigrationSourceOptions
            {
                CommitTimeout = s_limit,
                Sockets = new ChannelOptions { SendBufferBytes = 16 * 1024 },
            });
            using var over = new CancellationTokenSource();
            var receiving = Settle(destination.ReceiveAsync(cancellationToken: over.Token));
            var sending = source.MigrateAsync(network.Address, null, Token);
            await Settle(sending).WaitAsync(s_patience, Token);
            await over.CancelAsync();
            await receiving.WaitAsync(s_patience, Token);
            return (size, (sending.Exception?.InnerException as MigrationException)?.Reason, guest.IsRunning);
        }

        public void Report(MigrationProgress value) => _last = value;

        /// <summary>Returns the bytes that went over main, and over the connection after it.</summary>
        public static async Task<((long, long) Main, (long, long) Other)> RunAsync(Way way, Stop stop, bool byCancelling)
        {
            var move = new Move();
            var postcopy = way >= Way.Captured;
            var (preempt, runs) = (HasPreempt(way), IsLive(way));
            using var authority = IsSecured(way) ? new TestAuthority() : null;
            using var server = authority is null ? null : TlsCredentials.FromFolder(authority.Folder, TlsEnd.Server);
            using var client = authority is null ? null : TlsCredentials.FromFolder(authority.Folder, TlsEnd.Client);
            var channels = way == Way.Multifd ? 2 : 0;
            // Small buffers: what the kernel holds hides where a peer has stopped.
            var sockets = new ChannelOptions { SendBufferBytes = 16 * 1024, ReceiveBufferBytes = 16 * 1024 };
            TimeSpan? stall = byCancelling ? Timeout.InfiniteTimeSpan : s_limit;
            using var guest = TestGuest.Patterned(3 << 20, whileRunning: static (guest, collection) =>
            {
                for (long page = 0; page < 4 && collection == 1; page++)
                {
                    guest.Write(guest.Memory.Blocks[0], page, (byte)page);
                }
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
                    Sockets = sockets,
                    Tls = server,
                    TlsHandshakeTimeout = s_limit,
                });
            await using var network = FaultProxy.Start(
                destination.LocalAddresses[0], index => stop.PlanFor(way, index), stop.IsNarrow ? NarrowBytes : null);
            var source = new MigrationSource(guest, new MigrationSourceOptions
            {
                MultifdChannels = channels,
                Postcopy = postcopy,
                Preempt = preempt,
                StallTimeout = stall,
                CommitTimeout = s_limit,
                RecoveryTimeout = postcopy ? TimeSpan.FromMinutes(5) : TimeSpan.Zero,
                ProgressInterval = TimeSpan.FromMilliseconds(5),
                Sockets = sockets,
                Tls = client,
                TlsHandshakeTimeout = s_limit,
            });
            if (postcopy)
            {
                source.SwitchToPostcopy();
            }

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
                    {
                        (await link).Cut(reset: true);
                    }
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
            {
                return "the guest runs twice";
            }

            if (!runsHere && !runsThere && !IsUnknown(sending) && !IsUnknown(receiving))
            {
                return "the guest runs nowhere, and nobody says so";
            }

            return null;
        }

        private static bool IsUnknown(Task task) =>
            task.Exception?.InnerException
                is MigrationException { Reason: FailureReason.OutcomeUnknown or FailureReason.GuestAtDestination };

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
                {
                    await RecoverAsync(now);
                }

                if (!await HasStalledAsync())
                {
                    return;
                }

                if (_stalledAt == 0)
                {
                    _stalledAt = Stopwatch.GetTimestamp();
                }
                // Nothing has ended by itself meanwhile, or is not to: it is ended by hand.
                if (byCancelling)
                {
                    await cancelSource.CancelAsync();
                    await cancelDestination.CancelAsync();
                }

                // A guest that is fetched goes back only at the end of the stream: who wants no more of it gives it up.
                if (way >= Way.Captured && Stopwatch.GetElapsedTime(_stalledAt) > 2 * s_limit)
                {
                    PauseSource();
                    destination.Pause();
                    if (now is { IsPaused: true, IsRecovering: false })
                    {
                        await GiveUpAsync();
                    }
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
                if (!_cut && now is { Phase: MigrationPhase.Postcopy }
                    && network.LinkAsync(0, Token) is { IsCompletedSuccessfully: true } link)
                {
                    if (now.NormalPages == 0)
                    {
                        return;
                    }

                    _cut = true;
                    (await link).Cut(reset: true);
                }
                else if (_cut && _stalledAt == 0 && now is { IsPaused: true, IsRecovering: false })
                {
                    try
                    {
                        _ = source.ResumeAsync(network.Address);
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
                    {
                        return false;
                    }

                    if (link.IsCompletedSuccessfully && (await link).Stalled.IsCompleted)
                    {
                        return true;
                    }
                }

                return false;
            }
        }
    }
}
