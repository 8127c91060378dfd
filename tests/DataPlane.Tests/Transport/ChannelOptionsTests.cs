using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class ChannelOptionsTests
{
    [Fact]
    public void The_defaults_are_valid() => new ChannelOptions().Validate();

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_wrong_value_is_named_with_its_range(string name, ChannelOptions options)
    {
        var e = Assert.Throws<ArgumentOutOfRangeException>(options.Validate);
        Assert.Equal(name, e.ParamName);
        Assert.Contains($"{name} must be", e.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string, ChannelOptions> Wrong() => new()
    {
        { nameof(ChannelOptions.SendBufferBytes), new() { SendBufferBytes = 0 } },
        { nameof(ChannelOptions.ReceiveBufferBytes), new() { ReceiveBufferBytes = int.MaxValue } },
        { nameof(ChannelOptions.KeepAliveTime), new() { KeepAliveTime = TimeSpan.Zero } },
        { nameof(ChannelOptions.KeepAliveInterval), new() { KeepAliveInterval = TimeSpan.FromDays(1) } },
        { nameof(ChannelOptions.KeepAliveProbes), new() { KeepAliveProbes = 0 } },
        { nameof(ChannelOptions.UserTimeout), new() { UserTimeout = TimeSpan.Zero } },
        { nameof(ChannelOptions.ConnectTimeout), new() { ConnectTimeout = TimeSpan.Zero } },
        { nameof(ChannelOptions.ListenBacklog), new() { ListenBacklog = 0 } },
    };
}
