using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class ChannelIdTests
{
    [Fact]
    public void Messages_name_a_channel_by_its_kind_and_number()
    {
        Assert.Equal("main", ChannelId.Main.ToString());
        Assert.Equal("multifd 0", ChannelId.Multifd(0).ToString());
        Assert.Equal("multifd 254", ChannelId.Multifd(254).ToString());
        Assert.Equal("preempt", ChannelId.Preempt.ToString());
        Assert.Equal("tls", ChannelId.Tls.ToString());
    }

    [Fact]
    public void Two_of_them_are_equal_when_kind_and_number_are()
    {
        Assert.Equal(ChannelId.Multifd(3), ChannelId.Multifd(3));
        ChannelId[] all = [ChannelId.Main, ChannelId.Preempt, ChannelId.Tls, ChannelId.Multifd(0), ChannelId.Multifd(1), default];
        Assert.Equal(all.Length, all.Distinct().Count());
    }
}
