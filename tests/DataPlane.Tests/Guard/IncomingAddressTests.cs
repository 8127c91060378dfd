using DataPlane.Guard;
using DataPlane.Guard.Qmp;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class IncomingAddressTests
{
    private const int Longest = ChannelAddress.MaxPathBytes;

    [Fact]
    public void QEMU_listens_beside_its_monitor()
    {
        Assert.Equal("/run/vm/web1.guard.incoming", Choose("/run/vm/web1.guard"));
    }

    [Theory]
    [InlineData(99)]
    [InlineData(100)]
    [InlineData(Longest)]
    public void A_long_path_of_the_monitor_gets_a_short_name_in_its_folder_and_never_a_port(int length)
    {
        var qmp = "/run/vm/".PadRight(length, 'q');

        var address = ChannelAddress.Unix(Choose(qmp)!);

        Assert.Equal("/run/vm", Path.GetDirectoryName(address.Path));
        Assert.NotEqual(address.Path, Choose("/run/vm/".PadRight(length - 1, 'q') + "r"));
        Assert.Equal(address.Path, Choose(qmp)); // a guard that is started again looks there
    }

    [Fact]
    public void A_long_folder_of_the_monitor_leaves_the_runtime_folder()
    {
        var qmp = "/".PadRight(Longest - 4, 'f') + "/qmp";
        Assert.Equal("/run/dataplane", Path.GetDirectoryName(Choose(qmp, "/run/dataplane")));

        var refusal = Assert.Throws<QmpException>(() => Choose(qmp));
        Assert.Contains("--incoming", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_monitor_on_TCP_and_the_operators_own_word_are_taken_as_they_are()
    {
        Assert.Equal(ChannelAddress.Tcp("127.0.0.1", 0), IncomingAddress.Choose(Options(ChannelAddress.Tcp("localhost", 1))));
        var said = ChannelAddress.Unix("/run/x");
        Assert.Equal(said, IncomingAddress.Choose(Options(ChannelAddress.Unix("/run/".PadRight(Longest, 'q'))) with { Incoming = said }));
    }

    private static string? Choose(string qmp, string? runtimeFolder = null) =>
        IncomingAddress.Choose(Options(ChannelAddress.Unix(qmp)) with { RuntimeFolder = runtimeFolder }).Path;

    private static GuardedVmOptions Options(ChannelAddress qmp) => new()
    {
        Name = "vm",
        Listen = [ChannelAddress.Tcp("127.0.0.1", 0)],
        Qmp = qmp,
    };
}
