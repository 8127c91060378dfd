using DataPlane.Admission;
using DataPlane.Linux;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Admission;

public sealed class AdmissionRequestsTests : IDisposable
{
    private readonly EventFd _wake = new();
    private readonly EpollSet _epoll = new(1);
    private readonly AdmissionRequests _requests;

    public AdmissionRequestsTests()
    {
        _requests = new AdmissionRequests(_wake);
        _epoll.Add(_wake.Descriptor, 0);
    }

    private bool IsWoken
    {
        get
        {
            var woken = _epoll.Wait(0) == 1;
            _wake.Reset();
            return woken;
        }
    }

    public void Dispose()
    {
        _epoll.Dispose();
        _wake.Dispose();
    }

    [Fact]
    public void Each_request_wakes_the_thread()
    {
        Assert.False(IsWoken);
        _requests.Recheck();
        Assert.True(IsWoken);
        _requests.ExpectRecovery();
        Assert.True(IsWoken);
        Assert.Equal(1, _requests.StartAnew());
        Assert.True(IsWoken);
        _requests.NoteFalseStart("peer", "detail");
        Assert.True(IsWoken);
        _requests.Stop();
        Assert.True(IsWoken);
        Assert.True(_requests.IsStopping);
    }

    [Fact]
    public void A_recheck_that_nobody_has_taken_wakes_nobody_again()
    {
        _requests.Recheck();
        Assert.True(IsWoken);
        _requests.Recheck();
        Assert.False(IsWoken);
        Assert.True(_requests.TakeRecheck());
        Assert.False(_requests.TakeRecheck());
        _requests.Recheck();
        Assert.True(IsWoken);
    }

    [Fact]
    public void A_new_set_has_its_number_at_once_and_everything_held_is_judged_again()
    {
        Assert.Equal(1, _requests.StartAnew());
        Assert.Equal(2, _requests.StartAnew());
        Assert.Equal(2, _requests.Epoch);
        Assert.True(_requests.TakeRecheck());
    }

    [Fact]
    public void The_main_channel_of_a_link_that_is_lost_again_is_not_confirmed()
    {
        using BlockPool pool = new();
        using AdmittedChannel first = MainChannel(pool), second = MainChannel(pool);
        _requests.ConfirmMain(first);
        _requests.ConfirmMain(second);
        Assert.Same(second, _requests.TakeConfirmed());
        Assert.Null(_requests.TakeConfirmed());

        _requests.ConfirmMain(first);
        _requests.ExpectRecovery();
        Assert.Null(_requests.TakeConfirmed());
        Assert.Equal(1, _requests.Recoveries);
    }

    [Fact]
    public void False_starts_are_taken_in_turn()
    {
        _requests.NoteFalseStart("a", "1");
        _requests.NoteFalseStart("b", "2");
        Assert.True(_requests.TryTakeFalseStart(out var first));
        Assert.Equal(new FalseStart("a", "1"), first);
        Assert.True(_requests.TryTakeFalseStart(out _));
        Assert.False(_requests.TryTakeFalseStart(out _));
    }

    [Fact]
    public void Requests_may_come_after_the_thread_has_ended()
    {
        _wake.Dispose();
        _requests.Recheck();
        _requests.Stop();
        Assert.True(_requests.IsStopping);
    }

    private static AdmittedChannel MainChannel(BlockPool pool)
    {
        var (one, other) = SocketCalls.CreateSocketPair();
        other.Dispose();
        return new AdmittedChannel(one, null, pool, TimeProvider.System)
        {
            Kind = ChannelKind.Main,
            Peer = "peer",
            PeerGroup = PeerGroup.Of(System.Net.IPAddress.Loopback),
            Consumed = ReadOnlyMemory<byte>.Empty,
        };
    }
}
