using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Linux;

public sealed class DescriptorBudgetTests
{
    [Fact]
    public void What_migrations_need_is_set_aside_and_the_rest_shared_out_among_the_shares()
    {
        var budget = new DescriptorBudget(() => 1024);
        using var first = budget.Open(24);
        Assert.Equal(1024 - 256 - 24, first.ForStrangers);
        using (var second = budget.Open(48))
        {
            Assert.Equal((1024 - 256 - 24 - 48) / 2, first.ForStrangers);
            Assert.Equal(first.ForStrangers, second.ForStrangers);
            second.Dispose();
            second.Dispose();
        }

        Assert.Equal(1024 - 256 - 24, first.ForStrangers);
    }

    [Theory]
    [InlineData(64, 10, 64 - 16 - 10)]
    [InlineData(64, 100, 0)]
    [InlineData(long.MaxValue, 0, long.MaxValue - 256)]
    public void Few_descriptors_and_no_limit_at_all_are_both_shared(long limit, long reserve, long expected)
    {
        using var share = new DescriptorBudget(() => limit).Open(reserve);
        Assert.Equal(expected, share.ForStrangers);
    }

    [Fact]
    public void The_limit_of_this_process_is_what_the_kernel_says()
    {
        var line = File.ReadLines("/proc/self/limits").Single(l => l.StartsWith("Max open files", StringComparison.Ordinal));
        using var share = DescriptorBudget.Process.Open(0);
        Assert.InRange(share.ForStrangers, 0, line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3] is var soft && soft == "unlimited"
            ? long.MaxValue : long.Parse(soft, System.Globalization.CultureInfo.InvariantCulture));
    }
}
