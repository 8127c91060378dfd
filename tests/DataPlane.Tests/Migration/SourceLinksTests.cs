using DataPlane.Migration.Source;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Links that a source loses after it has sent everything, when its destination may be just about to complete.</summary>
public sealed class SourceLinksTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly SourceLinks _links = new(multifdChannels: 0);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_preempt_channel_that_is_spared_outlives_its_link_until_the_destination_closes_it()
    {
        await using var main = await ChannelPair.ConnectAsync(Token);
        await using var preempt = await ChannelPair.ConnectAsync(Token);
        _links.Link.Add(MigrationLink.MainNumber, main.Channel);
        _links.Link.Add(MigrationLink.PreemptNumber, preempt.Channel);

        _links.SparePreempt();
        _links.Abort();
        await _links.DropLinkAsync();

        Assert.Equal((true, false), (main.Channel.IsAborted, preempt.Channel.IsAborted));
        var closing = _links.CloseSparedAsync(s_patience);
        var ending = preempt.Peer.ReadToEndAsync(Token);
        Assert.False(closing.IsCompleted || ending.IsCompleted);
        preempt.Peer.Finish();
        await closing.WaitAsync(s_patience, Token);
        Assert.Empty((await ending.WaitAsync(s_patience, Token)).Bytes);
    }

    [Fact]
    public async Task It_is_given_up_when_the_destination_holds_it_too_long()
    {
        await using var preempt = await ChannelPair.ConnectAsync(Token);
        _links.Link.Add(MigrationLink.PreemptNumber, preempt.Channel);
        _links.SparePreempt();

        await _links.CloseSparedAsync(TimeSpan.Zero).WaitAsync(s_patience, Token);

        Assert.Equal(PeerEnd.Reset, (await preempt.Peer.ReadToEndAsync(Token).WaitAsync(s_patience, Token)).End);
        await _links.CloseSparedAsync(TimeSpan.Zero); // nothing is left to close
    }

    [Fact]
    public async Task After_the_abort_of_the_link_nothing_is_spared()
    {
        await using var preempt = await ChannelPair.ConnectAsync(Token);
        _links.Link.Add(MigrationLink.PreemptNumber, preempt.Channel);

        _links.Abort();
        _links.SparePreempt();

        Assert.Same(preempt.Channel, Assert.Single(_links.Link.Now));
    }
}
