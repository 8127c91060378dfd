using System.Net.Sockets;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Linux;

public sealed class EpollSetTests
{
    private const ulong Key = ulong.MaxValue - 1;

    [Fact]
    public void What_is_there_is_told_again_and_again_and_a_change_only_once()
    {
        using EventFd level = new();
        using EventFd edge = new();
        using EpollSet levels = new(4);
        using EpollSet edges = new(4);
        levels.Add(level.Descriptor, Key);
        edges.Add(edge.Descriptor, Key, EpollCalls.EpollIn | EpollCalls.EpollEdge);
        Assert.Equal((0, 0), (levels.Wait(0), edges.Wait(0)));

        level.Signal();
        edge.Signal();

        Assert.Equal((1, 1), (levels.Wait(0), edges.Wait(0)));
        Assert.Equal((Key, EpollCalls.EpollIn), levels.Event(0));
        Assert.Equal((Key, EpollCalls.EpollIn), edges.Event(0));
        Assert.Equal((1, 0), (levels.Wait(0), edges.Wait(0)));
        edge.Signal();
        Assert.Equal(1, edges.Wait(0));
    }

    [Fact]
    public void A_wait_brings_no_more_events_than_there_is_room_for()
    {
        using EventFd one = new();
        using EventFd other = new();
        using EpollSet set = new(1);
        set.Add(one.Descriptor, 1);
        set.Add(other.Descriptor, 2);
        one.Signal();
        other.Signal();

        Assert.Equal(1, set.Wait(0));
        Assert.InRange(set.Event(0).Key, 1UL, 2UL);
    }

    [Fact]
    public void A_socket_that_is_closed_or_in_the_set_already_is_refused()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        using EpollSet set = new(1);
        var handle = socket.SafeHandle;
        set.Add(handle, 1);
        Assert.Equal("epoll_ctl", Assert.Throws<LinuxException>(() => set.Add(handle, 2)).Call);
        Assert.False(set.TryAdd(handle, 2));

        socket.Dispose();

        Assert.Throws<ObjectDisposedException>(() => set.Add(handle, 3));
    }
}
