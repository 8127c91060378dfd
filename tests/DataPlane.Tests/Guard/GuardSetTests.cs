using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Sets of channels that never become complete: they cost QEMU nothing and the next source some patience.</summary>
public sealed class GuardSetTests
{
    private static readonly TimeSpan s_short = TimeSpan.FromSeconds(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_set_that_does_not_become_complete_is_given_up_and_the_source_that_waits_beside_it_is_served()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 2, undecided: s_short);
        var stranger = scene.Knock(Opening.Main);
        var strangers = scene.Knock(Opening.Multifd(1, Guid.Empty));
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 2, "two are held", Token);
        var honest = scene.Knock(Opening.Main).Send(99); // as QEMU, which goes on as soon as its channels are connected

        await stranger.ReadToEndAsync(Token);
        await strangers.ReadToEndAsync(Token);
        scene.Knock(Opening.Multifd(0));
        scene.Knock(Opening.Multifd(1));

        Assert.Equal([.. Opening.Main, 99], await (await scene.AcceptAsync()).ReceiveAsync(Opening.Main.Length + 1, Token));
        await scene.StateAsync(GuardState.Relaying);
        var seen = scene.Guard.Snapshot();
        Assert.Equal(1, seen.Refused[RefusalReason.FalseStart]);
        Assert.Equal(0, seen.Refused[RefusalReason.SecondMain]);
        Assert.Equal(honest.Socket.LocalEndPoint!.ToString(), seen.Channels[0].Peer);
    }

    [Fact]
    public async Task Multifd_channels_without_main_are_given_up_too()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1, undecided: s_short);
        var stranger = scene.Knock(Opening.Multifd(0, Guid.Empty));
        await stranger.ReadToEndAsync(Token);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Refused[RefusalReason.FalseStart] == 1, "it is counted", Token);
        Assert.False(scene.HasKnocked);

        scene.Knock(Opening.Multifd(0));
        scene.Knock(Opening.Main);
        Assert.Equal(Opening.Main, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Main.Length, Token));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(9)]
    public async Task The_beginning_of_a_main_channel_holds_nobody_up(int bytes)
    {
        await using var scene = await GuardScene.OpenAsync();
        var stranger = scene.Knock(Opening.Main.AsSpan(0, bytes));
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Undecided == 1, "it is there", Token);

        scene.Knock(Opening.Main);

        Assert.Equal(Opening.Main, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Main.Length, Token));
        await stranger.ReadToEndAsync(Token);
        Assert.Equal(1, scene.Guard.Snapshot().Refused[RefusalReason.SecondMain]);
    }

    [Fact]
    public async Task Once_QEMU_has_a_main_channel_another_is_refused()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        scene.Knock(Opening.Main);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 1, "it is held", Token);
        var second = scene.Knock(Opening.Main);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Undecided == 1, "it waits", Token);

        scene.Knock(Opening.Multifd(0));

        await second.ReadToEndAsync(Token);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Refused[RefusalReason.SecondMain] == 1, "it is refused", Token);
    }
}
