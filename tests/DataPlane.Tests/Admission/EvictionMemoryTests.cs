using System.Globalization;
using DataPlane.Admission;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Admission;

public sealed class EvictionMemoryTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly EvictionMemory _memory;

    public EvictionMemoryTests() => _memory = new EvictionMemory(_time, TimeSpan.FromSeconds(30));

    [Fact]
    public void It_counts_by_address_and_tells_each_loss_once()
    {
        _memory.Note("a", "a:1");
        _memory.Note("b", "b:1");
        _memory.Note("a", "a:2");

        Assert.Equal((2, "a:2"), _memory.Take("a"));
        Assert.Equal((0, ""), _memory.Take("a"));
        Assert.Equal((1, "b:1"), _memory.Take("b"));
    }

    [Fact]
    public void What_was_lost_long_ago_is_not_told()
    {
        _memory.Note("a", "a:1");
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.Equal((0, ""), _memory.Take("a"));
    }

    [Fact]
    public void Of_too_many_addresses_the_first_is_forgotten()
    {
        for (var i = 0; i <= EvictionMemory.MostAddresses; i++)
        {
            _memory.Note(i.ToString(CultureInfo.InvariantCulture), "peer");
        }

        Assert.Equal((0, ""), _memory.Take("0"));
        Assert.Equal((1, "peer"), _memory.Take("1"));
    }
}
