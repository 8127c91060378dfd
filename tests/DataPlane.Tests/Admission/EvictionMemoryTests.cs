using System.Net;
using DataPlane.Admission;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Admission;

public sealed class EvictionMemoryTests
{
    private static readonly PeerGroup s_a = At(1);
    private static readonly PeerGroup s_b = At(2);

    private readonly FakeTimeProvider _time = new();
    private readonly EvictionMemory _memory;

    public EvictionMemoryTests() => _memory = new EvictionMemory(_time, TimeSpan.FromSeconds(30));

    [Fact]
    public void It_counts_by_address_and_tells_each_loss_once()
    {
        _memory.Note(s_a, "a:1");
        _memory.Note(s_b, "b:1");
        _memory.Note(s_a, "a:2");

        Assert.Equal((2, "a:2"), _memory.Take(s_a));
        Assert.Equal((0, ""), _memory.Take(s_a));
        Assert.Equal((1, "b:1"), _memory.Take(s_b));
    }

    [Fact]
    public void What_was_lost_long_ago_is_not_told()
    {
        _memory.Note(s_a, "a:1");
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.Equal((0, ""), _memory.Take(s_a));
    }

    [Fact]
    public void Of_too_many_addresses_the_first_is_forgotten()
    {
        for (var i = 0; i <= EvictionMemory.MostAddresses; i++)
        {
            _memory.Note(At(i), "peer");
        }

        Assert.Equal((0, ""), _memory.Take(At(0)));
        Assert.Equal((1, "peer"), _memory.Take(At(1)));
    }

    private static PeerGroup At(int number) => PeerGroup.Of(new IPAddress([10, 0, (byte)(number >> 8), (byte)number]));
}
