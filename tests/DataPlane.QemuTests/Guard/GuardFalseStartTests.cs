using System.Net;
using DataPlane.QemuTests.Guard.Strangers;

namespace DataPlane.QemuTests.Guard;

/// <summary>A whole beginning of a main channel that nothing follows: the guard gives it up, QEMU never hears of it.</summary>
public sealed class GuardFalseStartTests : GuardTest
{
    public static TheoryData<string> WithMultifd => new(
        from configuration in GuardConfiguration.All
        where configuration is { Channels: 2 } && (!configuration.Postcopy || configuration.Machine != "pc-q35-7.2")
        select new TheoryDataRow<string>(configuration.ToString()));

    [Theory]
    [MemberData(nameof(WithMultifd))]
    public async Task A_main_channel_whose_other_channels_never_come_is_given_up_and_the_source_arrives(string configuration)
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Parse(configuration), "--undecided-timeout", "2s");
        var kind = new StrangerKind("a whole beginning", _ => StrangerBytes.MainWithBlocks(1L << 30));
        var port = PortOf(pair.Guard.Uri);
        await using var stranger = await Stranger.ConnectAsync(
            kind, port, new StrangerTarget(2, Guid.Empty, 0), IPAddress.Parse("127.0.0.66"), Token);
        Assert.True(await stranger.IsRefusedAsync(DataPlane.QemuTests.Harness.Patience.Default));
        var status = await pair.Guard.WaitForStatusAsync(
            vm => vm.GetProperty("refused").TryGetProperty("false_start", out var count) && count.GetInt64() == 1, "it is counted", Token);
        Assert.Equal("waiting", status.GetProperty("state").GetString());
        Assert.Equal("inmigrate", await pair.Destination.StatusAsync(Token));

        await pair.BeginAsync(Token);
        await pair.HurryAsync(Token);
        await ArrivedAsync(pair.Source, pair.Destination);
    }
}
