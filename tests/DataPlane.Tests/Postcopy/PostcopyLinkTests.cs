using DataPlane.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A QEMU that has sent everything runs the guest again if main ends before SHUT.</summary>
public sealed class PostcopyLinkTests
{
    private static readonly IOException s_failure = new("no memory for a page");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_failure_here_ends_no_link_whose_source_has_sent_everything()
    {
        await using var scene = await Scene.OpenAsync();
        await scene.EndSourceAsync();

        scene.Current.OutliveLinks();
        scene.Current.BreakBeforeEnd(s_failure);

        Assert.False(scene.Link.Broken.IsCompleted);
        Assert.False(scene.Main.IsAborted);
    }

    [Fact]
    public async Task A_guest_that_is_still_the_sources_ends_with_the_failure()
    {
        await using var scene = await Scene.OpenAsync();
        await scene.EndSourceAsync();

        scene.Current.BreakBeforeEnd(s_failure);

        Assert.True(scene.Link.Broken.IsCompleted);
        Assert.True(scene.Main.IsAborted);
    }

    [Fact]
    public async Task Before_the_end_the_failure_ends_the_link()
    {
        await using var scene = await Scene.OpenAsync();

        scene.Current.OutliveLinks();
        scene.Current.BreakBeforeEnd(s_failure);

        Assert.Same(s_failure, await scene.Link.Ended.WaitAsync(Token));
        Assert.True(scene.Main.IsAborted);
    }

    private sealed class Scene : IAsyncDisposable
    {
        private readonly ChannelPair _pair;
        private readonly GuestMemory _memory = new([RamBlock.Allocate(
            "pc.ram", 16 * TargetPage.Size, RamAllocation.Default with { HugePages = false })]);

        private Scene(ChannelPair pair)
        {
            _pair = pair;
            var pages = new ReceivedPages(_memory);
            var arrivals = new PageArrivals(
                new DirectPageStore(pages), new PageLedger(pages, static _ => TargetPage.Size), NullLogger.Instance);
            Link = Current.Begin(() => new PostcopyLink(pair.Channel, pages, arrivals, new PostcopyReturnPath(), ramSection: 1));
        }

        public CurrentLink Current { get; } = new();

        public PostcopyLink Link { get; }

        public Channel Main => _pair.Channel;

        public static async Task<Scene> OpenAsync() => new(await ChannelPair.ConnectAsync(Token));

        /// <summary>The source sends the last byte of its stream, and the link has read it.</summary>
        public async Task EndSourceAsync()
        {
            _pair.Peer.Send((byte)SectionType.EndOfFile);
            Assert.Null(await Link.Ended.WaitAsync(Token));
        }

        public async ValueTask DisposeAsync()
        {
            Link.Break(s_failure);
            await Link.DisposeAsync();
            await _pair.DisposeAsync();
            _memory.Dispose();
        }
    }
}
