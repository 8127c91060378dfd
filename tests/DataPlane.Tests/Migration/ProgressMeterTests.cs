using DataPlane.Migration;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Reports to a receiver that takes its time: it is the host's code, so nothing of ours waits for it under a lock.</summary>
public sealed class ProgressMeterTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_reports_while_the_receiver_is_busy_does_not_wait_for_it()
    {
        using var receiver = new Receiver();
        var meter = new ProgressMeter(receiver, new PhaseClock(new FakeTimeProvider()));
        var first = Task.Run(() => meter.Report(() => In(MigrationPhase.Setup)), Token);
        await receiver.Entered.Task.WaitAsync(Token);

        meter.Report(() => In(MigrationPhase.Precopy, bytes: 1));
        meter.Report(() => In(MigrationPhase.Precopy, bytes: 2)); // the newer of two that say the same is enough
        meter.Report(() => In(MigrationPhase.Switchover));
        var told = meter.DrainAsync();
        Assert.False(told.IsCompleted);
        Assert.Empty(receiver.Told);

        receiver.Go.Set();
        await Task.WhenAll(first, told).WaitAsync(Token);
        Assert.Equal(
            [(MigrationPhase.Setup, 0L), (MigrationPhase.Precopy, 2L), (MigrationPhase.Switchover, 0L)],
            receiver.Told.Select(static value => (value.Phase, value.TransferredBytes)));
        Assert.Equal(1, receiver.MostAtOnce);
    }

    [Fact]
    public async Task A_report_out_of_the_receiver_itself_comes_after_the_one_that_led_to_it()
    {
        using var receiver = new Receiver();
        receiver.Go.Set();
        var meter = new ProgressMeter(receiver, new PhaseClock(new FakeTimeProvider()));
        receiver.WhenTold = value =>
        {
            if (value.Phase == MigrationPhase.Setup)
            {
                meter.Report(() => In(MigrationPhase.Precopy));
            }
        };

        meter.Report(() => In(MigrationPhase.Setup));
        await meter.DrainAsync().WaitAsync(Token);

        Assert.Equal([MigrationPhase.Setup, MigrationPhase.Precopy], receiver.Told.Select(static value => value.Phase));
        Assert.Equal(1, receiver.MostAtOnce);
    }

    [Fact]
    public async Task A_receiver_that_throws_gets_the_next_report_all_the_same()
    {
        using var receiver = new Receiver();
        receiver.Go.Set();
        receiver.WhenTold = static _ => throw new InvalidOperationException("the host's own fault");
        var meter = new ProgressMeter(receiver, new PhaseClock(new FakeTimeProvider()));

        meter.Report(() => In(MigrationPhase.Setup));
        meter.Report(() => In(MigrationPhase.Precopy));

        await meter.DrainAsync().WaitAsync(Token);
        Assert.Equal(2, receiver.Told.Count);
    }

    private static MigrationProgress In(MigrationPhase phase, long bytes = 0) =>
        new() { Phase = phase, TransferredBytes = bytes, NormalPages = 0, ZeroPages = 0 };

    /// <summary>Takes a report only when it is let go on.</summary>
    private sealed class Receiver : IProgress<MigrationProgress>, IDisposable
    {
        private readonly List<MigrationProgress> _told = [];
        private int _inside;

        public ManualResetEventSlim Go { get; } = new();

        public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Action<MigrationProgress>? WhenTold { get; set; }

        public int MostAtOnce { get; private set; }

        public IReadOnlyList<MigrationProgress> Told
        {
            get
            {
                lock (_told)
                {
                    return [.. _told];
                }
            }
        }

        public void Report(MigrationProgress value)
        {
            MostAtOnce = Math.Max(MostAtOnce, Interlocked.Increment(ref _inside));
            Entered.TrySetResult();
            Go.Wait();
            lock (_told)
            {
                _told.Add(value);
            }

            try
            {
                WhenTold?.Invoke(value);
            }
            finally
            {
                Interlocked.Decrement(ref _inside);
            }
        }

        public void Dispose() => Go.Dispose();
    }
}
