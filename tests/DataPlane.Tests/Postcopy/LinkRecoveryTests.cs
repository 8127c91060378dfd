using DataPlane.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class LinkRecoveryTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// The system gives no thread for a connection. The host is told, and while it is being told another thread brings the next connection
    /// and must not wait for the host.
    /// </summary>
    [Fact]
    public async Task The_host_is_told_without_a_lock()
    {
        await using var first = await ChannelPair.ConnectAsync(Token);
        await using var second = await ChannelPair.ConnectAsync(Token);
        await using var scene = new Scene(first.Pool);
        using var told = new ManualResetEventSlim();
        using var attached = new ManualResetEventSlim();
        var waited = true;
        scene.Events.Failed = _ =>
        {
            told.Set();
            waited = !attached.Wait(TimeSpan.FromSeconds(30));
        };
        var other = Task.Run(
            () =>
            {
                told.Wait(Token);
                scene.Recovery.Attach(second.Channel, static () => { });
                attached.Set();
            }, Token);
        scene.Recovery.Attach(first.Channel, static () => { }, static _ => throw new InsufficientMemoryException("no thread"));
        await other;
        Assert.False(waited);
        Assert.True(scene.Recovery.IsPaused);
    }

    [Fact]
    public async Task A_host_that_throws_does_not_end_the_pause()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        await using var scene = new Scene(pair.Pool);
        scene.Events.Failed = static _ => throw new InvalidOperationException("the host fails");
        scene.Recovery.Attach(pair.Channel, static () => { }, static _ => throw new InsufficientMemoryException("no thread"));
        await pair.Peer.ReadToEndAsync(Token);
        Assert.False(scene.Pause.IsCompleted);
    }

    /// <summary>
    /// A host that gives the migration up as it is told of a failed recovery does so on the thread of that recovery, which must not wait
    /// for its own end then.
    /// </summary>
    [Fact]
    public async Task The_host_may_give_up_when_it_is_told_of_a_failed_recovery()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        await using var scene = new Scene(pair.Pool);
        scene.Events.Failed = _ => scene.GiveUp();
        scene.Recovery.Attach(pair.Channel, static () => { });
        pair.Peer.Dispose();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => scene.Pause.WaitAsync(TimeSpan.FromSeconds(30), Token));
    }

    [Fact]
    public async Task Without_a_pause_no_recovery_is_taken()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var scene = new Scene(pair.Pool);
        await scene.DisposeAsync();
        scene.Recovery.Attach(pair.Channel, static () => { });
        await pair.Peer.ReadToEndAsync(Token);
    }

    /// <summary>A migration that has lost its link and waits for the source.</summary>
    private sealed class Scene : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly GuestMemory _memory = new([RamBlock.Allocate(
            "pc.ram", 16 * TargetPage.Size, RamAllocation.Default with { HugePages = false })]);

        public Scene(BlockPool pool)
        {
            var pages = new ReceivedPages(_memory);
            var arrivals = new PageArrivals(
                new DirectPageStore(pages), new PageLedger(pages, static _ => TargetPage.Size), NullLogger.Instance);
            Recovery = new LinkRecovery(
                static _ => throw new InvalidOperationException("no connection is chosen"), new CurrentLink(), new PostcopyReturnPath(),
                pages, arrivals, Events, NullLogger.Instance, _stop.Token);
            Pause = Recovery.RunAsync(new IOException("the link is lost"));
            Assert.True(Recovery.IsPaused);
        }

        public HostEvents Events { get; } = new();

        public LinkRecovery Recovery { get; }

        public Task<PostcopyLink> Pause { get; }

        public void GiveUp() => _stop.Cancel();

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Pause);
            _stop.Dispose();
            _memory.Dispose();
        }
    }

    private sealed class HostEvents : ILinkEvents
    {
        public Action<Exception> Failed { get; set; } = static _ => { };

        public void OnPaused(Exception cause, bool isLost) => Assert.True(isLost);

        public void OnRecoveryFailed(Exception cause) => Failed(cause);

        public void OnResumed() => Assert.Fail("nothing was resumed");
    }
}
