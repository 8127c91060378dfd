using System.Net.Sockets;
using System.Threading.Channels;
using DataPlane.Guard.Session;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>
/// What a session takes next: channels and events keep neither each other nor themselves waiting, and nothing is left over.
/// </summary>
public sealed class SessionInboxTests : IAsyncDisposable
{
    private readonly Channel<GuardEvent?> _channels = System.Threading.Channels.Channel.CreateUnbounded<GuardEvent?>();
    private readonly SessionTasks _tasks = new();
    private readonly SessionEvents _events;
    private readonly SessionInbox _inbox;
    private readonly BlockPool _pool = new();
    private int _asked;

    public SessionInboxTests()
    {
        _events = new SessionEvents(_tasks, TimeProvider.System);
        _inbox = new SessionInbox(_events, NextAsync);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_channel_comes_before_an_event_and_an_event_before_the_next_channel()
    {
        GuardEvent[] come = [Channel(), Channel(), new GuardEvent.Retired(), new GuardEvent.MonitorEnded()];
        _channels.Writer.TryWrite(come[0]);
        _channels.Writer.TryWrite(come[1]);
        _events.Post(come[2]);
        _events.Post(come[3]);

        Assert.Same(come[0], await _inbox.NextAsync(Token));
        Assert.Same(come[2], await _inbox.NextAsync(Token));
        Assert.Same(come[1], await _inbox.NextAsync(Token));
        Assert.Same(come[3], await _inbox.NextAsync(Token));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Whichever_comes_ends_the_wait(bool isChannel)
    {
        var waits = _inbox.NextAsync(Token).AsTask();
        GuardEvent comes = isChannel ? Channel() : new GuardEvent.Retired();
        if (isChannel)
        {
            _channels.Writer.TryWrite(comes);
        }
        else
        {
            _events.Post(comes);
        }

        Assert.Same(comes, await waits);
    }

    [Fact]
    public async Task An_admission_that_has_broken_says_so_once_and_events_still_come()
    {
        _channels.Writer.TryWrite(new GuardEvent.Broken(new IOException()));
        Assert.IsType<GuardEvent.Broken>(await _inbox.NextAsync(Token));
        var waits = _inbox.NextAsync(Token).AsTask();
        _events.Post(new GuardEvent.Retired());

        Assert.IsType<GuardEvent.Retired>(await waits);
        Assert.Equal(1, _asked);
    }

    [Fact]
    public async Task A_wait_ends_when_it_is_cancelled_or_nothing_can_come()
    {
        using var stop = new CancellationTokenSource();
        var waits = _inbox.NextAsync(stop.Token).AsTask();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waits);

        waits = _inbox.NextAsync(Token).AsTask();
        _events.Close();
        Assert.Null(await waits);
    }

    [Fact]
    public async Task A_channel_that_nobody_took_is_closed()
    {
        using var stop = new CancellationTokenSource();
        var inbox = new SessionInbox(_events, NextAsync);
        var waits = inbox.NextAsync(stop.Token).AsTask();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waits);
        var late = Channel();
        _channels.Writer.TryWrite(late);

        await inbox.DisposeAsync();

        Assert.Throws<InvalidOperationException>(() => late.Channel.TakeSocket());
    }

    [Fact]
    public async Task An_event_after_the_end_is_dropped()
    {
        _events.Close();
        var late = Channel();
        _events.Post(late);

        Assert.Throws<InvalidOperationException>(() => late.Channel.TakeSocket());
        Assert.Null(await _inbox.NextAsync(Token));
    }

    public async ValueTask DisposeAsync()
    {
        await _inbox.DisposeAsync();
        await _tasks.DisposeAsync();
        _pool.Dispose();
    }

    private async Task<GuardEvent?> NextAsync(CancellationToken cancellationToken)
    {
        _asked++;
        try
        {
            return await _channels.Reader.ReadAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    private GuardEvent.Admitted Channel()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        return new GuardEvent.Admitted(new AdmittedChannel(socket.SafeHandle, null, _pool, TimeProvider.System)
        {
            Kind = ChannelKind.Main,
            Peer = "peer",
            Consumed = default,
        });
    }
}
