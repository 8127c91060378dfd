using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Transport;

/// <summary>Several addresses of one name (RFC 8305), with a resolver and a clock of the test's own.</summary>
public sealed class ConnectRaceTests : IDisposable
{
    private readonly BlockPool _pool = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _pool.Dispose();

    [Theory]
    [InlineData("", "")]
    [InlineData("192.0.2.1", "192.0.2.1")]
    [InlineData("2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1", "2001:db8::1 192.0.2.1 2001:db8::2 2001:db8::3")]
    [InlineData("192.0.2.1 192.0.2.2 2001:db8::1 192.0.2.1 2001:db8::2", "192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2")]
    public void The_families_take_turns_and_the_resolvers_order_is_kept_within_each(string resolved, string order)
    {
        var addresses = AddressOrder.Interleave(Addresses(resolved));
        Assert.Equal(order, string.Join(' ', addresses));
    }

    [Fact]
    public void A_name_with_very_many_addresses_is_tried_at_some_of_them()
    {
        var many = Enumerable.Range(0, 5000).Select(static i => new IPAddress([10, 0, (byte)(i >> 8), (byte)i]));
        Assert.Equal(many.Take(AddressOrder.MaxAddresses), AddressOrder.Interleave(many));
    }

    [Fact]
    public async Task An_address_that_swallows_everything_holds_the_next_one_up_for_250_ms()
    {
        FakeTimeProvider time = new();
        using var swallowing = FullListener.On("127.0.0.2");
        using var listener = new TcpListener(IPAddress.Parse("127.0.0.3"), swallowing.Address.Port);
        listener.Start();
        var dialling = DialAsync(swallowing.Address.Port, "127.0.0.2 127.0.0.3", time);
        time.Advance(ConnectRace.AttemptDelay - TimeSpan.FromMilliseconds(1));
        Assert.False(listener.Pending());
        Assert.False(dialling.IsCompleted);
        time.Advance(TimeSpan.FromMilliseconds(1));
        await using var channel = await dialling.WaitAsync(TimeSpan.FromSeconds(30), Token);
        using var accepted = await listener.AcceptSocketAsync(Token);
        Assert.Equal(IPAddress.Parse("127.0.0.3"), ((IPEndPoint)accepted.LocalEndPoint!).Address);
    }

    [Fact]
    public async Task One_that_answers_late_still_wins_over_one_that_never_does()
    {
        FakeTimeProvider time = new();
        using var late = FullListener.On("127.0.0.2");
        using var never = FullListener.On("127.0.0.3", late.Address.Port);
        var dialling = DialAsync(late.Address.Port, "127.0.0.2 127.0.0.3", time);
        time.Advance(ConnectRace.AttemptDelay);
        late.MakeRoom();
        await using var channel = await dialling.WaitAsync(TimeSpan.FromSeconds(60), Token);
    }

    [Fact]
    public async Task One_that_refuses_lets_the_next_one_start_at_once()
    {
        FakeTimeProvider time = new(); // which nobody moves on
        using var listener = new TcpListener(IPAddress.Parse("127.0.0.3"), 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await using var channel =
            await DialAsync(port, "127.0.0.2 127.0.0.4 127.0.0.3", time).WaitAsync(TimeSpan.FromSeconds(30), Token);
    }

    [Fact]
    public async Task When_all_fail_each_is_named_with_its_reason()
    {
        var e = await Assert.ThrowsAsync<ChannelException>(() => DialAsync(1, "127.0.0.2 127.0.0.3", TimeProvider.System));
        Assert.Equal((ChannelEnd.Failed, Errno.ECONNREFUSED), (e.End, e.Errno));
        Assert.Equal(
            "cannot connect to destination.test:1: 127.0.0.2: Connection refused (111); 127.0.0.3: Connection refused (111)", e.Message);
    }

    [Fact]
    public async Task At_the_deadline_those_without_an_answer_are_told_from_those_that_refused()
    {
        FakeTimeProvider time = new();
        using var swallowing = FullListener.On("127.0.0.2");
        var dialling = DialAsync(swallowing.Address.Port, "127.0.0.3 127.0.0.2", time);
        time.Advance(TimeSpan.FromSeconds(31));
        var e = await Assert.ThrowsAsync<ChannelException>(() => dialling).WaitAsync(TimeSpan.FromSeconds(30), Token);
        Assert.Equal(ChannelEnd.TimedOut, e.End);
        Assert.EndsWith(" within 30 s (127.0.0.3: Connection refused (111); 127.0.0.2: no answer)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_that_cannot_be_waited_for_has_failed_and_the_next_one_starts_at_once()
    {
        FakeTimeProvider time = new(); // which nobody moves on
        using var swallowing = FullListener.On("127.0.0.2");
        IPEndPoint deaf = new(IPAddress.Parse("127.0.0.2"), swallowing.Address.Port);
        using var listener = new TcpListener(IPAddress.Parse("127.0.0.3"), swallowing.Address.Port);
        listener.Start();
        await using ConnectRace race = new([deaf, listener.LocalEndpoint], Start, time, Token);

        var winner = await race.RunAsync().WaitAsync(TimeSpan.FromSeconds(30), Token);

        Assert.NotNull(winner);
        winner.Value.Socket.Dispose();
        Assert.Equal(listener.LocalEndpoint, winner.Value.Remote);
        Assert.Equal(deaf, Assert.Single(race.Failures).Remote);

        ConnectAttempt Start(EndPoint remote)
        {
            var attempt = new ConnectAttempt(remote, null, new ChannelOptions());
            if (remote.Equals(deaf))
            {
                attempt.Dispose(); // a wait for it throws
            }

            return attempt;
        }
    }

    [Fact]
    public async Task A_name_without_an_address_is_said_to_have_none()
    {
        var e = await Assert.ThrowsAsync<ChannelException>(() => DialAsync(1, "", TimeProvider.System));
        Assert.Equal("'destination.test' has no address", e.Message);
    }

    [Fact]
    public async Task The_address_that_has_answered_is_kept_for_the_host_and_not_for_others()
    {
        using var listener = new TcpListener(IPAddress.Parse("127.0.0.3"), 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        HostRoute route = new();
        var asked = 0;
        ChannelOptions options = new()
        {
            Resolve = (_, _) => Task.FromResult(Addresses(asked++ == 0 ? "127.0.0.2 127.0.0.3" : "127.0.0.4")),
        };
        for (var i = 0; i < 3; i++)
        {
            await using var channel = await ChannelDialer.ConnectAsync(
                ChannelAddress.Tcp(i == 2 ? "DESTINATION.test" : "destination.test", port), options, ChannelId.Main, i, _pool, Token,
                route: route);
        }

        Assert.Equal(1, asked);
        Assert.Equal(new IPEndPoint(IPAddress.Parse("127.0.0.3"), 7), route.Find(ChannelAddress.Tcp("destination.test", 7)));
        Assert.Null(route.Find(ChannelAddress.Tcp("another.test", port)));
        Assert.Null(route.Find(ChannelAddress.Unix("/s")));
        var e = await Assert.ThrowsAsync<ChannelException>(() => ChannelDialer.ConnectAsync(
            ChannelAddress.Tcp("another.test", port), options, ChannelId.Main, 0, _pool, Token, route: route));
        Assert.Contains("127.0.0.4: ", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Attempts_that_lost_are_closed()
    {
        using var swallowing = FullListener.On("127.0.0.2");
        using var listener = new TcpListener(IPAddress.Parse("127.0.0.3"), swallowing.Address.Port);
        listener.Start();
        var before = PendingTo(swallowing.Address.Port);
        Assert.True(before > 0, "the listener's own filling does not show in /proc/net/tcp");
        for (var i = 0; i < 3; i++)
        {
            await using var channel = await DialAsync(swallowing.Address.Port, "127.0.0.2 127.0.0.3", TimeProvider.System);
            (await listener.AcceptSocketAsync(Token)).Dispose();
        }

        Assert.Equal(before, PendingTo(swallowing.Address.Port));
    }

    /// <summary>Connections to 127.0.0.2 that wait for an answer (SYN_SENT), by the kernel's own table.</summary>
    private static int PendingTo(int port) =>
        File.ReadLines("/proc/net/tcp").Count(line => line.Contains($" 0200007F:{port:X4} 02 ", StringComparison.Ordinal));

    private static IPAddress[] Addresses(string text) =>
        [.. text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(IPAddress.Parse)];

    private Task<Channel> DialAsync(int port, string resolved, TimeProvider time) => ChannelDialer.ConnectAsync(
        ChannelAddress.Tcp("destination.test", port), new ChannelOptions { Resolve = (_, _) => Task.FromResult(Addresses(resolved)) },
        ChannelId.Main, 0, _pool, Token, time);
}
