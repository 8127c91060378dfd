using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Guard.Session;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>The channels of one attempt: when they are complete, and how long they may wait.</summary>
public sealed class HeldSetTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly FakeTimeProvider _time = new();
    private readonly HeldSet _set;

    public HeldSetTests() => _set = new HeldSet(expected: 3, s_patience, _time);

    [Fact]
    public void It_is_complete_when_main_and_all_multifd_channels_are_there_in_whatever_order()
    {
        Assert.True(_set.Add(Multifd(1), default));
        Assert.False(_set.Add(MainChannel(), new byte[] { 7 }));
        Assert.False(_set.IsComplete);
        Assert.False(_set.Add(Multifd(0), default));

        Assert.True(_set.IsComplete);
        Assert.Equal([7], _set.Main.Opening.ToArray());
        Assert.Equal(1, _set[new ForwardingStep(ChannelKind.Multifd, 1)].Relay.Id);
    }

    [Fact]
    public void Each_channel_gives_the_others_more_time()
    {
        _set.Add(MainChannel(), default);
        _time.Advance(s_patience - TimeSpan.FromSeconds(1));
        Assert.Equal(TimeSpan.FromSeconds(1), _set.TimeLeft(_set.Number));

        _set.Add(Multifd(0), default);
        Assert.Equal(s_patience, _set.TimeLeft(_set.Number));

        _time.Advance(s_patience + TimeSpan.FromSeconds(1));
        Assert.Equal(TimeSpan.Zero, _set.TimeLeft(_set.Number));
    }

    [Fact]
    public void A_set_that_was_given_up_or_handed_over_waits_for_nothing_and_its_timer_does_not_hurry_the_next()
    {
        _set.Add(MainChannel(), default);
        var first = _set.Number;
        _set.Clear();
        Assert.Null(_set.TimeLeft(first));

        Assert.True(_set.Add(MainChannel(), default));
        _time.Advance(s_patience);
        Assert.Null(_set.TimeLeft(first));
        Assert.Equal(TimeSpan.Zero, _set.TimeLeft(_set.Number));
    }

    [Fact]
    public void A_channel_in_the_place_of_an_earlier_one_is_another()
    {
        var earlier = MainChannel();
        _set.Add(earlier, default);
        Assert.True(_set.Has(earlier));
        _set.Clear();
        _set.Add(MainChannel(), default);

        Assert.False(_set.Has(earlier));
        Assert.False(_set.Has(Multifd(0)));
    }

    private static ChannelRelay MainChannel() => new(ChannelKind.Main, 0, ChannelId.Main);

    private static ChannelRelay Multifd(int id) => new(ChannelKind.Multifd, id, ChannelId.Multifd(id));
}
