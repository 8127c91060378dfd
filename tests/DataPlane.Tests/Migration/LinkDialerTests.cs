using System.Net;
using System.Net.Sockets;
using DataPlane.Migration.Source;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Channels of a source that are connected while, or after, the migration fails.</summary>
public sealed class LinkDialerTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_dial_that_completes_after_the_failure_is_aborted()
    {
        using var scene = new Scene();
        scene.WhileDialling = scene.Links.Abort;

        var main = await scene.Dialer.DialMainAsync(scene.Address, Token);
        var multifd = await scene.Dialer.DialMultifdAsync(scene.Address, 1, Token);
        var preempt = await scene.Dialer.DialPreemptAsync(scene.Address, Token);

        Assert.Equal([main, multifd, preempt], scene.Links.Channels);
        Assert.All(scene.Links.Channels, static channel => Assert.True(channel.IsAborted));
        await scene.CloseAsync();
    }

    [Fact]
    public async Task What_a_lost_link_still_dials_does_not_become_a_channel_of_the_next()
    {
        using var scene = new Scene();
        await scene.Dialer.DialMainAsync(scene.Address, Token);
        var lost = scene.Links.Link;
        scene.WhileDialling = () =>
        {
            lost.Abort();
            scene.Links.DropLinkAsync().GetAwaiter().GetResult();
        };
        var elsewhere = ChannelAddress.Parse($"elsewhere.test:{scene.Address.Port}"); // the name that is known is not asked for again
        var late = await scene.Dialer.DialPreemptAsync(elsewhere, Token);
        Assert.True(late.IsAborted);
        Assert.Empty(scene.Links.Channels);
        scene.WhileDialling = null;

        var next = await scene.Dialer.DialMainAsync(scene.Address, Token);

        Assert.Equal([next], scene.Links.Channels);
        Assert.False(next.IsAborted);
        await late.DisposeAsync();
        await scene.CloseAsync();
    }

    [Fact]
    public async Task Bytes_of_lost_links_count_and_multifd_channels_outlive_them()
    {
        using var scene = new Scene();
        var main = await scene.Dialer.DialMainAsync(scene.Address, Token);
        var multifd = await scene.Dialer.DialMultifdAsync(scene.Address, 0, Token);
        await main.Output.WriteAsync(new byte[100], Token);
        await multifd.Output.WriteAsync(new byte[20], Token);
        Assert.Equal(120, scene.Links.SentBytes);

        scene.Links.Link.Abort();
        await scene.Links.DropLinkAsync();

        Assert.Equal([multifd], scene.Links.Channels);
        Assert.False(multifd.IsAborted);
        Assert.Equal(120, scene.Links.SentBytes);
        await scene.CloseAsync();
    }

    private sealed class Scene : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly BlockPool _pool = new();

        public Scene()
        {
            _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            _listener.Listen(8);
            Address = ChannelAddress.Parse($"destination.test:{((IPEndPoint)_listener.LocalEndPoint!).Port}");
            var options = new MigrationSourceOptions { MultifdChannels = 2, Sockets = new ChannelOptions { Resolve = ResolveAsync } };
            Links = new SourceLinks(options.MultifdChannels);
            Dialer = new LinkDialer(options, Links, _pool);
        }

        public ChannelAddress Address { get; }

        public SourceLinks Links { get; }

        public LinkDialer Dialer { get; }

        /// <summary>Called while the first channel to a host is being connected.</summary>
        public Action? WhileDialling { get; set; }

        public async Task CloseAsync()
        {
            foreach (var channel in Links.Channels)
            {
                await channel.DisposeAsync();
            }
        }

        public void Dispose()
        {
            _listener.Dispose();
            _pool.Dispose();
        }

        private Task<IPAddress[]> ResolveAsync(string host, CancellationToken cancellationToken)
        {
            WhileDialling?.Invoke();
            return Task.FromResult<IPAddress[]>([IPAddress.Loopback]);
        }
    }
}
