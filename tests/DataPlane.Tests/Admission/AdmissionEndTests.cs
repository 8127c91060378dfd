using System.Diagnostics.Metrics;
using System.Runtime.InteropServices;
using DataPlane.Admission;
using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Admission;

[Collection(CountsOfTheProcess.Name)]
public sealed partial class AdmissionEndTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Disposing_closes_everything_and_ends_the_thread()
    {
        await RunOnceAsync(); // what the runtime opens once
        GC.Collect();
        GC.WaitForPendingFinalizers(); // what earlier tests left behind must not go while we count
        var before = Descriptors.Count;
        await RunOnceAsync();
        Assert.Equal(before, Descriptors.Count);
        await Eventually.TrueAsync(() => !Descriptors.HasThread("dp-admission"), "the thread is gone", Token);

        static async Task RunOnceAsync()
        {
            var door = Door.Open(Door.Expect(2));
            ScriptedPeer[] peers =
                [door.Knock(Opening.Main), door.Knock(Opening.Multifd(0)), door.Knock(),
                    door.Knock(Opening.Multifd(1).AsSpan(0, 5)), door.Knock(Opening.Http)];
            var taken = await door.TakeAsync();
            await Eventually.TrueAsync(() => door.Admission is { Admitted: 2, Undecided: 2 }, "two admitted, two undecided", Token);
            Assert.True(Descriptors.HasThread("dp-admission"));

            await door.Admission.DisposeAsync();
            Assert.Equal(2, door.Admission.Refused[RefusalReason.Stopped]);
            foreach (var gone in peers.Where(p => p.Socket.LocalEndPoint!.ToString() != taken.Channel.Peer))
            {
                Assert.Equal(PeerEnd.Reset, (await gone.ReadToEndAsync(Token)).End);
            }

            await door.Admission.DisposeAsync();
            await door.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_log_that_throws_ends_nothing()
    {
        await using var door = Door.Open(Door.Expect(1), new BrokenLogger());

        door.Knock(Opening.Http);
        door.Knock(Opening.Main);

        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
        await door.RefusedAsync(RefusalReason.Garbage, 1);
    }

    [Fact]
    public async Task A_failure_that_nothing_foresees_ends_the_admission_and_not_the_process()
    {
        var admission = ChannelAdmission.Listen(
            [ChannelAddress.Parse("127.0.0.1:0")], Door.Expect(1), new ChannelOptions(), new BrokenClock(), NullLogger.Instance);
        using var peer = ScriptedPeer.Connect(admission.LocalAddresses[0]);

        var failure = await Assert.ThrowsAsync<IOException>(
            () => admission.AcceptAsync(Token).AsTask().WaitAsync(TimeSpan.FromMinutes(1), Token));

        Assert.Equal("the clock is broken", failure.InnerException!.Message);
        await admission.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1), Token);
    }

    [Fact]
    public async Task After_disposal_nobody_waits_in_vain()
    {
        var door = Door.Open(Door.Expect(0));
        var waiting = door.Admission.AcceptAsync(Token).AsTask();
        await door.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiting);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => door.Admission.AcceptAsync(Token).AsTask());
        Assert.Throws<System.Net.Sockets.SocketException>(() => ScriptedPeer.Connect(door.Admission.LocalAddresses[0]));
    }

    [Fact]
    public async Task Without_descriptors_it_says_so_backs_off_and_goes_on()
    {
        CollectingLogger log = new();
        await using var door = Door.Open(Door.Expect(0), log);
        var main = door.Knock();
        await door.UndecidedAsync(1);
        using var late = new System.Net.Sockets.Socket(System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
        using (new DescriptorLimit(3))
        {
            late.Connect(ScriptedPeer.EndPointOf(door.Admission.LocalAddresses[0]));
            SpinWait.SpinUntil(() => log.Has(3103), TimeSpan.FromMinutes(1));
            door.Time.Advance(TimeSpan.FromMilliseconds(100)); // tried again, in vain
            main.Send(Opening.Main); // those that are in are served all the same
            Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);
        }

        Assert.Contains("Too many open files", log.Text(3103), StringComparison.Ordinal);
        Assert.Equal(0, door.Admission.Undecided);
        await Eventually.TrueAsync(() =>
        {
            door.Time.Advance(TimeSpan.FromMilliseconds(100));
            return door.Admission.Undecided == 1;
        }, "the waiting one is accepted", Token);
        Assert.Equal(1, log.Count(3103));
    }

    [Fact]
    public async Task Every_decision_is_counted_and_logged()
    {
        Dictionary<string, long> seen = [];
        using MeterListener meters = new();
        meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == AdmissionCounters.MeterName)
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            var key = string.Join(' ', [instrument.Name, .. tags.ToArray().Select(t => t.Value)]);
            lock (seen)
            {
                seen[key] = seen.GetValueOrDefault(key) + value;
            }
        });
        meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) =>
        {
            lock (seen)
            {
                seen[string.Join(' ', [instrument.Name, .. tags.ToArray().Select(t => t.Value)])] = (long)value;
            }
        });
        meters.Start();

        CollectingLogger log = new();
        var door = Door.Open(Door.Expect(0), log);
        door.Knock(Opening.Main);
        await door.TakeAsync();
        door.Knock(Opening.Http);
        await door.RefusedAsync(RefusalReason.Garbage, 1);
        await door.DisposeAsync();

        Assert.Equal(1, seen["dataplane.admission.admitted Main"]);
        Assert.Equal(0, seen["dataplane.admission.decision Main"]); // whole seconds of a clock that stands still
        Assert.Equal(1, seen["dataplane.admission.refused Garbage"]);
        Assert.Equal(0, seen["dataplane.admission.undecided"]);
        Assert.Contains("Listening on 127.0.0.1:", log.Text(3100), StringComparison.Ordinal);
        Assert.Contains("Admitted main from 127.0.0.1:", log.Text(3101), StringComparison.Ordinal);
        Assert.Contains(": Garbage", log.Text(3102), StringComparison.Ordinal);
    }

    /// <summary>Lowers the limit of open files, so that the next descriptor cannot be had; those that are open stay.</summary>
    private sealed partial class DescriptorLimit : IDisposable
    {
        private const int OpenFiles = 7;
        private readonly Limit _before;

        internal DescriptorLimit(ulong soft)
        {
            Assert.Equal(0, GetLimit(OpenFiles, out _before));
            var low = _before with { Soft = soft };
            Assert.Equal(0, SetLimit(OpenFiles, in low));
        }

        public void Dispose() => Assert.Equal(0, SetLimit(OpenFiles, in _before));

        [LibraryImport("libc", EntryPoint = "getrlimit")]
        private static partial int GetLimit(int resource, out Limit limit);

        [LibraryImport("libc", EntryPoint = "setrlimit")]
        private static partial int SetLimit(int resource, in Limit limit);

        private record struct Limit(ulong Soft, ulong Hard);
    }

    private sealed class BrokenClock : TimeProvider
    {
        public override long GetTimestamp() => throw new IOException("the clock is broken");
    }

    private sealed class BrokenLogger : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            throw new InvalidOperationException("the log is broken");
    }
}
