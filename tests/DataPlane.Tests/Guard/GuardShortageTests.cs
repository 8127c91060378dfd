using DataPlane.Guard;
using DataPlane.Guard.Session;
using DataPlane.Linux;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>
/// A guard for which the system has no descriptor, memory or thread at the worst moment. A timer that cannot be made stands for all of
/// them: each step that is tried here makes one.
/// </summary>
public sealed class GuardShortageTests
{
    private static readonly TimeSpan s_dial = TimeSpan.FromSeconds(61);
    private static readonly TimeSpan s_handshake = TimeSpan.FromSeconds(62);
    private static readonly TimeSpan s_drain = TimeSpan.FromSeconds(63);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("descriptor")]
    [InlineData("memory")]
    [InlineData("thread")]
    [InlineData("object")]
    public async Task A_TLS_session_that_cannot_be_served_ends_alone_and_the_next_one_is_let_in(string what)
    {
        using TestAuthority authority = new();
        using var monitor = TlsPassThroughTests.Monitor();
        await using var scene = await OpenAsync(monitor: monitor);
        var failed = 0;
        scene.Time.Lacks = length => length == s_handshake && Interlocked.Increment(ref failed) == 1 ? LackOf(what) : null;
        var unlucky = scene.Knock(TlsKnock.Hello);
        var hers = await scene.AcceptAsync();
        Assert.Equal(PeerEnd.Closed, (await hers.ReadToEndAsync(Token)).End);
        await unlucky.ReadToEndAsync(Token);

        var next = TlsKnock.ComeAsync(scene.Guard.LocalAddresses[0], authority.Folder);
        using var main = await TlsPassThroughTests.ShakeHandsAsync(await scene.AcceptAsync(), authority.Folder);
        using var source = await next;
        await scene.StateAsync(GuardState.Relaying);
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.TlsHandshake]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task What_breaks_while_channels_are_handed_over_ends_the_migration_with_its_name(int dial)
    {
        await using var scene = await OpenAsync(preempt: true);
        var dials = 0;
        scene.Time.Lacks = length =>
            length == s_dial && Interlocked.Increment(ref dials) == dial ? new InsufficientMemoryException("none left") : null;
        var source = scene.Knock(Opening.Main);
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.Contains("none left", scene.Guard.Snapshot().Failure, StringComparison.Ordinal);
        await source.ReadToEndAsync(Token);
        if (dial == 2)
        {
            await (await scene.AcceptAsync()).ReadToEndAsync(Token); // main, which QEMU had
        }

        Assert.False(scene.HasKnocked);
    }

    [Fact]
    public async Task A_recovery_for_which_there_is_no_descriptor_leaves_the_guest_paused_for_the_next_one()
    {
        await using var scene = await OpenAsync();
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        main.Send(PostcopyEnds.Switchover);
        await scene.StateAsync(GuardState.Postcopy);
        source.Reset();
        await main.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);

        var dials = 0;
        scene.Time.Lacks = length =>
            length == s_dial && Interlocked.Increment(ref dials) == 1
                ? new ChannelException("main", ChannelEnd.Failed, Errno.EMFILE, "socket") : null;
        var first = scene.Knock(Opening.Recovery);
        await first.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        scene.Knock(Opening.Recovery);
        Assert.Equal(Opening.Recovery, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Recovery.Length, Token));
    }

    [Fact]
    public async Task A_wait_that_cannot_begin_ends_the_migration_instead_of_leaving_it_standing()
    {
        using FakeMonitor monitor = new();
        await using var scene = await OpenAsync(monitor: monitor);
        scene.Knock(Opening.Main);
        await scene.AcceptAsync();
        await scene.StateAsync(GuardState.Relaying);
        scene.Time.Lacks = static length => length == s_drain ? new InsufficientMemoryException("no timer") : null;
        monitor.HangUp();
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.Equal("the guard broke: no timer", scene.Guard.Snapshot().Failure);
    }

    [Fact]
    public async Task A_QEMU_that_never_ends_to_say_where_its_migration_stands_is_given_up()
    {
        using FakeMonitor monitor = new();
        await using var scene = await OpenAsync(monitor: monitor);
        scene.Knock(Opening.Main);
        await scene.AcceptAsync();
        await scene.StateAsync(GuardState.Relaying);
        monitor.SayStatus(new string('x', 1 << 20));
        for (var i = 0; i < QemuStatuses.MaxStatuses; i++)
        {
            monitor.SayStatus(i % 2 == 0 ? "active" : "setup");
        }

        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.Equal("QEMU has said 10000 times where the migration stands", scene.Guard.Snapshot().Failure);
    }

    private static Exception LackOf(string what) => what switch
    {
        "descriptor" => new LinuxException("eventfd", Errno.EMFILE),
        "memory" => new InsufficientMemoryException("none left"),
        "thread" => new IOException("no thread"),
        _ => new ObjectDisposedException("late"),
    };

    private static Task<GuardScene> OpenAsync(bool preempt = false, FakeMonitor? monitor = null) =>
        GuardScene.OpenAsync(preempt: preempt, monitor: monitor, change: static options => options with
        {
            MonitorTimeout = s_dial,
            TlsHandshakeTimeout = s_handshake,
            DrainTimeout = s_drain,
        });
}
