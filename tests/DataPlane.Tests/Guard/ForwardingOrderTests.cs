using DataPlane.Guard.Order;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class ForwardingOrderTests
{
    public static TheoryData<string?> Versions => new((string?[])["7.2.22", "8.0.0", "10.0.13", "10.1.0", "11.1.3", null]);

    [Theory]
    [MemberData(nameof(Versions))]
    public void Main_comes_first_then_multifd_by_number_then_the_guards_own_preempt(string? version)
    {
        var target = Target(version) with { Channels = 3, Preempt = true };

        Assert.Equal(
            [(ChannelKind.Main, 0), (ChannelKind.Multifd, 0), (ChannelKind.Multifd, 1), (ChannelKind.Multifd, 2), (ChannelKind.Preempt, 0)],
            ForwardingOrder.Steps(target, recovery: false).Select(s => (s.Kind, s.Id)));
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public void A_recovery_opens_main_and_preempt_again_and_no_multifd(string? version)
    {
        var target = Target(version) with { Channels = 3, Preempt = true };

        Assert.Equal([ChannelKind.Main, ChannelKind.Preempt], ForwardingOrder.Steps(target, recovery: true).Select(s => s.Kind));
    }

    [Theory]
    [InlineData("7.2.22", true)]
    [InlineData("8.0.0", true)]
    [InlineData("10.0.13", true)]
    [InlineData("10.1.0", false)]
    [InlineData("11.1.3", false)]
    [InlineData(null, false)]
    public void Postcopy_beside_multifd_needs_10_1(string? version, bool refused)
    {
        var target = Target(version) with { Channels = 2, Postcopy = true };

        Assert.Equal(refused, ForwardingOrder.WhyNot(target) is not null);
        Assert.Null(ForwardingOrder.WhyNot(target with { Channels = 0 }));
        Assert.Null(ForwardingOrder.WhyNot(target with { Postcopy = false }));
    }

    [Theory]
    [InlineData("7.2.22", true)]
    [InlineData("8.0.0", false)]
    [InlineData("11.1.3", false)]
    [InlineData(null, true)]
    public void Only_7_2_waits_for_the_preempt_channels_end(string? version, bool needed) =>
        Assert.Equal(needed, ForwardingOrder.NeedsPreemptEnd(Target(version)));

    private static QemuTarget Target(string? version) => new()
    {
        Address = ChannelAddress.Parse("127.0.0.1:1"),
        Version = version is null ? null : Version.Parse(version),
    };
}
