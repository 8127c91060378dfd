using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Linux;

public sealed class ReadableWaiterTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_socket_that_has_bytes_ends_its_wait_and_is_watched_no_more()
    {
        using ReadableWaiter waiter = new("dp-test");
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var wait = waiter.WaitAsync(pair.Channel.Handle, Token);
        Assert.False(wait.IsCompleted);
        pair.Peer.Send(1);
        await wait.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.DoesNotContain((int)pair.Channel.Handle.DangerousGetHandle(), Descriptors.EpollMembers());
    }

    [Fact]
    public async Task A_socket_that_is_closed_while_it_is_waited_for_keeps_its_number_until_the_wait_is_cancelled()
    {
        using ReadableWaiter waiter = new("dp-test");
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using CancellationTokenSource cancel = new();
        var wait = waiter.WaitAsync(pair.Channel.Handle, cancel.Token);
        var number = (int)pair.Channel.Handle.DangerousGetHandle();

        pair.Channel.Handle.Dispose();
        Assert.Contains(number, Descriptors.EpollMembers());
        await cancel.CancelAsync();

        // Before the waiting method has had a thread to go on.
        Assert.DoesNotContain(number, Descriptors.EpollMembers());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait);
        await pair.Peer.ReadToEndAsync(Token);
    }

    [Fact]
    public async Task Waits_end_with_the_waiter_and_none_begins_after_it()
    {
        ReadableWaiter waiter = new("dp-test");
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var wait = waiter.WaitAsync(pair.Channel.Handle, Token);
        waiter.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => wait);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiter.WaitAsync(pair.Channel.Handle, Token));
        pair.Channel.Handle.Dispose();
        await pair.Peer.ReadToEndAsync(Token); // nobody holds it open
    }

    [Fact]
    public async Task A_closed_socket_is_not_waited_for()
    {
        using ReadableWaiter waiter = new("dp-test");
        var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp).SafeHandle;
        closed.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiter.WaitAsync(closed, Token));
    }
}
