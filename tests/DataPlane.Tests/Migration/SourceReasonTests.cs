using System.Net;
using System.Net.Sockets;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>What a source says of a destination that gives up, or does nothing any more.</summary>
public sealed class SourceReasonTests
{
    [Theory]
    [InlineData(0, "reads no further")]
    [InlineData(2, "has not begun to read: it may expect more multifd channels than 2")]
    public async Task A_destination_that_never_has_all_of_the_memory_does_not_get_the_guest(int channels, string reason)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var guest = Running();
        // The kernel accepts everything, and takes all of so small a guest: only the answers are missing.
        var accepted = Task.Run(
            async () =>
            {
                var main = await listener.AcceptSocketAsync();
                if (channels == 0)
                {
                    main.Send([0, 2, 0, 4, 0, 0, 0, 1]);
                }

                return main;
            },
            TestContext.Current.CancellationToken);
        var options = new MigrationSourceOptions
        {
            MultifdChannels = channels,
            CommitTimeout = TimeSpan.FromMilliseconds(300),
            StallTimeout = TimeSpan.FromSeconds(2),
        };
        var failure = await Assert.ThrowsAsync<MigrationException>(() => new MigrationSource(guest, options).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(FailureReason.Stalled, failure.Reason);
        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.True(guest.IsRunning);
        (await accepted).Dispose();
    }

    [Fact]
    public async Task A_destination_that_does_not_begin_to_read_is_awaited_in_words()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var guest = Running();
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var said = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var options = new MigrationSourceOptions { MultifdChannels = 2, ProgressInterval = TimeSpan.FromMilliseconds(50) };
        var moving = new MigrationSource(guest, options).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), new WaitingWords(said), enough.Token);

        Assert.Equal(
            "the destination to begin reading: it may expect more multifd channels than 2",
            await said.Task.WaitAsync(TimeSpan.FromSeconds(30), enough.Token));

        await enough.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => moving);
    }

    [Theory]
    [InlineData("closes", FailureReason.PeerClosed, "closed the return path without SHUT")]
    [InlineData("resets", FailureReason.PeerReset, "broke the return path off without SHUT")]
    [InlineData("refuses", FailureReason.PeerRefused, "SHUT 7")]
    public async Task A_page_channel_that_breaks_because_the_destination_gave_up_is_explained_by_main(
        string main, FailureReason reason, string text)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var guest = TestGuest.Patterned(32 << 20);
        guest.IsRunning = true;
        var destination = Task.Run(
            async () =>
            {
                // The multifd channel goes first, as at a QEMU that meets a bad packet.
                using var control = await listener.AcceptSocketAsync();
                RawSource.Reset(await listener.AcceptSocketAsync());
                await Task.Delay(100);
                if (main == "refuses")
                {
                    control.Send([0, 1, 0, 4, 0, 0, 0, 7]);
                }

                if (main == "resets")
                {
                    RawSource.Reset(control);
                }

                if (main == "closes")
                {
                    control.Shutdown(SocketShutdown.Send);
                }

                RawSource.ReadToEnd(control);
            },
            TestContext.Current.CancellationToken);
        var failure = await Assert.ThrowsAsync<MigrationException>(() =>
            new MigrationSource(guest, new() { MultifdChannels = 1 }).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(reason, failure.Reason);
        Assert.Equal("main", failure.Channel);
        Assert.Contains(text, failure.Message, StringComparison.Ordinal);
        Assert.True(guest.IsRunning);
    }

    [Fact]
    public async Task A_page_channel_that_breaks_while_main_stays_open_is_named()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var guest = TestGuest.Patterned(32 << 20);
        guest.IsRunning = true;
        using var ended = new CancellationTokenSource();
        var destination = Task.Run(
            async () =>
            {
                using var control = await listener.AcceptSocketAsync();
                RawSource.Reset(await listener.AcceptSocketAsync());
                await Task.Delay(Timeout.Infinite, ended.Token).ContinueWith(static _ => { }, TaskScheduler.Default);
            },
            TestContext.Current.CancellationToken);
        var failure = await Assert.ThrowsAsync<MigrationException>(() =>
            new MigrationSource(guest, new() { MultifdChannels = 1 }).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), cancellationToken: TestContext.Current.CancellationToken));
        await ended.CancelAsync();
        Assert.Equal("multifd 0", failure.Channel);
        Assert.Contains("keeps main open: it may expect fewer multifd channels than 1", failure.Message, StringComparison.Ordinal);
        await destination;
    }

    private static TestGuest Running()
    {
        var guest = TestGuest.Patterned(4 << 20);
        guest.IsRunning = true;
        return guest;
    }

    /// <summary>The first words about what is awaited once all channels are there.</summary>
    private sealed class WaitingWords(TaskCompletionSource<string> said) : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value)
        {
            if (value is { Phase: > MigrationPhase.Connecting, WaitingFor: { } awaited })
            {
                said.TrySetResult(awaited);
            }
        }
    }
}
