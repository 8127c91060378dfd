using System.Collections.Concurrent;
using DataPlane.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class VmFleetTests : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource<FakeGuardedVm>> _served = [];
    private readonly ConcurrentQueue<string> _notes = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly VmFleet _fleet;
    private Task _mayStart = Task.CompletedTask;

    public VmFleetTests() =>
        _fleet = new VmFleet(vm => new VmWorker(vm, Create, new Quiet(), TimeProvider.System), _notes.Enqueue, _stop.Token);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _fleet.EndAsync();
        _fleet.Dispose();
        _stop.Dispose();
    }

    private FakeGuardedVm Create(VmSettings settings)
    {
        var vm = new FakeGuardedVm(settings) { MayStart = _mayStart, StartFailure = settings.Name == "bad" ? new IOException("no") : null };
        Slot(settings.Name).SetResult(vm);
        return vm;
    }

    private TaskCompletionSource<FakeGuardedVm> Slot(string name) =>
        _served.GetOrAdd(name, _ => new TaskCompletionSource<FakeGuardedVm>(TaskCreationOptions.RunContinuationsAsynchronously));

    private Task<FakeGuardedVm> ServedAsync(string name) => Slot(name).Task.WaitAsync(Token);

    private string[] Names() => [.. _fleet.Status().Select(vm => vm.Name)];

    [Fact]
    public async Task A_reload_adds_and_removes_VMs_and_leaves_the_others_alone()
    {
        _fleet.Apply([GuardTestSettings.Vm("a"), GuardTestSettings.Vm("b")]);
        var a = await ServedAsync("a");
        var b = await ServedAsync("b");
        _fleet.Apply([GuardTestSettings.Vm("b"), GuardTestSettings.Vm("c")]);
        await ServedAsync("c");
        await UntilAsync(() => Names() is ["b", "c"]);
        Assert.True(a.IsDisposed);
        Assert.False(b.IsDisposed);
        Assert.Equal(["a: removed"], _notes);
    }

    [Fact]
    public async Task All_have_been_tried_when_each_address_is_open_or_cannot_be_opened()
    {
        await _fleet.TriedAsync().WaitAsync(Token);
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _mayStart = gate.Task;
        _fleet.Apply([GuardTestSettings.Vm("a"), GuardTestSettings.Vm("bad")]);
        await ServedAsync("a");
        await ServedAsync("bad");
        var tried = _fleet.TriedAsync();
        Assert.False(tried.IsCompleted);
        gate.SetResult();
        await tried.WaitAsync(Token);
        Assert.Equal([VmStatus.StateWaiting, VmStatus.StatePreparing], _fleet.Status().Select(static vm => vm.State));
    }

    [Fact]
    public async Task A_VM_that_is_removed_while_it_migrates_stays_until_that_is_over()
    {
        _fleet.Apply([GuardTestSettings.Vm("a")]);
        var a = await ServedAsync("a");
        await UntilAsync(() => _fleet.Status()[0].State == VmStatus.StateWaiting);
        a.State = "postcopy";
        await UntilAsync(() => _fleet.Status()[0].State == "postcopy");
        _fleet.Apply([GuardTestSettings.Vm("b")]);
        Assert.Equal(["a: removed when its migration is over"], _notes);
        Assert.Equal(["a", "b"], Names());
        Assert.False(a.IsDisposed);
        a.End(VmStatus.StateCompleted);
        await UntilAsync(() => Names() is ["b"]);
        Assert.True(a.IsDisposed);
    }

    [Fact]
    public async Task A_VM_that_reads_differently_goes_on_as_it_began_and_changes_with_its_next_migration()
    {
        _fleet.Apply([GuardTestSettings.Vm("a", 1)]);
        var first = await ServedAsync("a");
        _fleet.Apply([GuardTestSettings.Vm("a", 1)]);
        Assert.Empty(_notes);
        _fleet.Apply([GuardTestSettings.Vm("a", 2)]);
        Assert.Equal(["a: changed, which counts from its next migration on"], _notes);
        Assert.False(first.IsDisposed);
        _served.Clear();
        first.End(VmStatus.StateCompleted);
        Assert.Equal(2, (await ServedAsync("a")).Settings.Listen.Port);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private sealed class Quiet : IGuardEvents
    {
        public void Listening(VmStatus vm)
        {
        }

        public void Ended(VmStatus vm)
        {
        }

        public void CannotStart(string name, string reason)
        {
        }
    }
}
