using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class DescriptorLimitTests
{
    [Fact]
    public void Every_undecided_connection_and_every_channel_of_every_VM_counts()
    {
        var vm = GuardTestSettings.Vm("a") with { MaxUndecided = 10_000 };
        Assert.Equal(256 + 10_000 + (6 * 257), DescriptorLimit.Needed([vm]));
        Assert.Equal(256 + (2 * (10_000 + (6 * 257))), DescriptorLimit.Needed([vm, vm]));
    }

    [Fact]
    public void What_is_allowed_already_is_left_as_it_is()
    {
        var before = Limits();
        Assert.True(OpenFileLimit.Raise(1) >= 1);
        Assert.Equal(before, Limits());
    }

    private static string Limits() =>
        File.ReadLines("/proc/self/limits").Single(line => line.StartsWith("Max open files", StringComparison.Ordinal));
}
