using System.Collections.Concurrent;
using System.Threading.Channels;
using DataPlane.Tool.Guard;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class VmWorkerTests : IDisposable
{
    private readonly WatchedTime _time = new();
    private readonly RecordedEvents _events = new();
    private readonly ConcurrentQueue<FakeGuardedVm> _planned = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly VmWorker _worker;

    public VmWorkerTests() => _worker = new VmWorker(GuardTestSettings.Vm("web1"), Create, _events, _time);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _worker.Dispose();
        _stop.Dispose();
    }

    private FakeGuardedVm Create(VmSettings settings) =>
        _planned.TryDequeue(out var planned) ? planned : throw new InvalidOperationException("no QEMU left");

    private FakeGuardedVm Plan(Exception? startFailure = null)
    {
        var vm = new FakeGuardedVm(_worker.Settings) { StartFailure = startFailure };
        _planned.Enqueue(vm);
        return vm;
    }

    private async Task<string> NextEventAsync() => await _events.Said.Reader.ReadAsync(Token);

    [Fact]
    public async Task One_migration_is_announced_served_and_reported()
    {
        var vm = Plan();
        Assert.Equal("preparing", _worker.Status().State);
        var serving = _worker.ServeOnceAsync(_stop.Token);
        Assert.Equal("listening 192.0.2.1:4444", await NextEventAsync());
        vm.End(VmStatus.StateCompleted);
        var ended = await serving;
        Assert.Equal(("completed", 1, 0), (ended.State, ended.Completed, ended.Failed));
        Assert.Equal("ended completed", await NextEventAsync());
        Assert.True(vm.IsDisposed);
    }

    [Fact]
    public async Task A_start_that_fails_ends_a_single_guard_with_its_reason()
    {
        var vm = Plan(new IOException("no monitor"));
        Assert.Equal("no monitor", (await Assert.ThrowsAsync<IOException>(() => _worker.ServeOnceAsync(_stop.Token))).Message);
        Assert.True(vm.IsDisposed);
        Assert.Equal("preparing", _worker.Status().State);
    }

    [Fact]
    public async Task A_service_tries_again_says_each_reason_once_and_waits_longer_each_time_up_to_ten_seconds()
    {
        for (var i = 0; i < 6; i++)
        {
            Plan(new IOException("no monitor"));
        }

        var last = Plan();
        var serving = _worker.ServeForeverAsync(_stop.Token);
        Assert.Equal("cannot start no monitor", await NextEventAsync());
        Assert.Equal("no monitor", _worker.Status().Error);
        foreach (var seconds in (int[])[1, 2, 4, 8, 10, 10])
        {
            var pause = await NextPauseAsync();
            Assert.Equal(TimeSpan.FromSeconds(seconds), pause);
            _time.Advance(pause);
        }

        Assert.Equal("listening 192.0.2.1:4444", await NextEventAsync());
        Assert.Null(_worker.Status().Error);
        last.End(VmStatus.StateFailed);
        Assert.Equal("ended failed", await NextEventAsync());
        await StopAsync(serving);
    }

    [Fact]
    public async Task While_the_next_QEMU_is_awaited_the_last_end_is_shown_and_counted()
    {
        var first = Plan();
        Plan(new IOException("QEMU runs already"));
        var third = Plan();
        var serving = _worker.ServeForeverAsync(_stop.Token);
        await NextEventAsync();
        first.End(VmStatus.StateFailed);
        Assert.Equal("ended failed", await NextEventAsync());
        _time.Advance(await NextPauseAsync());
        Assert.Equal("cannot start QEMU runs already", await NextEventAsync());
        var status = _worker.Status();
        Assert.Equal(("failed", "main: reset; since then: QEMU runs already", 1), (status.State, status.Error, status.Failed));
        _time.Advance(await NextPauseAsync());
        await NextEventAsync();
        Assert.Equal("waiting", _worker.Status().State);
        third.End(VmStatus.StateCompleted);
        await NextEventAsync();
        Assert.Equal((1, 1), (_worker.Status().Completed, _worker.Status().Failed));
        await StopAsync(serving);
    }

    [Fact]
    public async Task After_a_completed_migration_it_is_shown_why_the_next_QEMU_cannot_be_guarded()
    {
        var first = Plan();
        Plan(new IOException("no monitor"));
        Plan();
        var serving = _worker.ServeForeverAsync(_stop.Token);
        await NextEventAsync();
        first.End(VmStatus.StateCompleted);
        Assert.Equal("ended completed", await NextEventAsync());
        Assert.Null(_worker.Status().Error);
        _time.Advance(await NextPauseAsync());
        Assert.Equal("cannot start no monitor", await NextEventAsync());
        Assert.Equal(("completed", "no monitor"), (_worker.Status().State, _worker.Status().Error));
        _time.Advance(await NextPauseAsync());
        await NextEventAsync();
        Assert.Null(_worker.Status().Error);
        await StopAsync(serving);
    }

    [Fact]
    public async Task A_migration_that_begins_while_its_guard_is_retired_is_served_to_its_end()
    {
        var vm = Plan();
        var serving = _worker.ServeForeverAsync(_stop.Token);
        await NextEventAsync();
        Assert.Equal("waiting", _worker.Status().State); // and this is what it would be shown as for a while
        vm.BeforeRetiring = () => vm.State = "relaying";

        _worker.Retire();

        Assert.False(serving.IsCompleted);
        Assert.False(vm.IsDisposed);
        vm.End(VmStatus.StateCompleted);
        await serving.WaitAsync(Token);
        Assert.Equal(1, _worker.Status().Completed);
    }

    [Theory]
    [InlineData("waiting")]
    [InlineData("relaying")]
    [InlineData("paused")]
    public async Task Retiring_ends_a_waiting_guard_at_once_and_one_at_work_after_its_migration(string state)
    {
        var vm = Plan();
        Plan();
        var serving = _worker.ServeForeverAsync(_stop.Token);
        await NextEventAsync();
        vm.State = state;
        _time.Advance(TimeSpan.FromSeconds(1));
        _worker.Retire();
        if (state != "waiting")
        {
            Assert.False(vm.IsDisposed);
            vm.End(VmStatus.StateCompleted);
        }

        await serving.WaitAsync(Token);
        Assert.True(vm.IsDisposed);
        Assert.Single(_planned);
    }

    [Fact]
    public async Task Looks_at_short_intervals_share_one_snapshot_since_rates_are_counted_between_two()
    {
        var vm = Plan();
        var serving = _worker.ServeForeverAsync(_stop.Token);
        await NextEventAsync();
        _time.Advance(TimeSpan.FromSeconds(1));
        var looks = vm.Looks;
        _worker.Status();
        _worker.Status();
        Assert.Equal(looks + 1, vm.Looks);
        _time.Advance(TimeSpan.FromMilliseconds(200));
        _worker.Status();
        Assert.Equal(looks + 2, vm.Looks);
        await StopAsync(serving);
    }

    /// <summary>The pause that the worker has begun: time that passes before it has would be lost.</summary>
    private async Task<TimeSpan> NextPauseAsync() => await _time.Pauses.Reader.ReadAsync(Token);

    private async Task StopAsync(Task serving)
    {
        await _stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => serving.WaitAsync(Token));
    }

    private sealed class RecordedEvents : IGuardEvents
    {
        public Channel<string> Said { get; } = Channel.CreateUnbounded<string>();

        public void Listening(VmStatus vm) => Said.Writer.TryWrite("listening " + vm.Listen);

        public void Ended(VmStatus vm) => Said.Writer.TryWrite("ended " + vm.State);

        public void CannotStart(string name, string reason) => Said.Writer.TryWrite("cannot start " + reason);
    }

    private sealed class WatchedTime : FakeTimeProvider
    {
        public Channel<TimeSpan> Pauses { get; } = Channel.CreateUnbounded<TimeSpan>();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            Pauses.Writer.TryWrite(dueTime);
            return timer;
        }
    }
}
