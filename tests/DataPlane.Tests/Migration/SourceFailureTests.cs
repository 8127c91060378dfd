using System.Net;
using System.Net.Sockets;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Who owns the guest when something fails, seen from the source.</summary>
public sealed class SourceFailureTests
{
    [Fact]
    public async Task Nobody_listening_leaves_the_guest_running()
    {
        using var guest = Running();
        var failure = await Assert.ThrowsAsync<MigrationException>(() => new MigrationSource(guest, new()).MigrateAsync(
            UnusedAddress(), cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal("main", failure.Channel);
        Assert.Equal(MigrationPhase.Connecting, failure.Phase);
        Assert.True(guest.IsRunning);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_destination_that_fails_to_commit_gives_the_guest_back(int channels)
    {
        using var guest = Running();
        using var incoming = new TestIncomingGuest { OnCommit = static () => throw new IOException("no room") };
        var failure = await Assert.ThrowsAsync<MigrationException>(() => PrecopyTests.MigrateAsync(guest, incoming, channels));
        Assert.Contains(failure.Reason, new[] { FailureReason.PeerRefused, FailureReason.HostFailed });
        await UntilAsync(() => guest.Resumed == 1);
        Assert.True(guest.IsRunning);
        Assert.False(incoming.Started);
        Assert.NotNull(incoming.Abandoned);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task Cancelling_while_the_guest_stands_still_lets_it_run_on(int channels)
    {
        using var cancel = new CancellationTokenSource();
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 8 << 20, RamAllocation.Default))
        {
            IsRunning = true,
            OnPaused = _ => cancel.CancelAsync(),
        };
        using var incoming = new TestIncomingGuest();
        await using var destination = Destination(incoming, channels);
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        var sending = new MigrationSource(guest, new() { MultifdChannels = channels })
            .MigrateAsync(destination.LocalAddresses[0], cancellationToken: cancel.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
        await Assert.ThrowsAsync<MigrationException>(() => receiving);
        Assert.Equal(1, guest.Resumed);
        Assert.False(incoming.Started);
    }

    [Fact]
    public async Task A_host_that_cannot_resume_its_guest_does_not_hide_why_the_migration_failed()
    {
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 8 << 20, RamAllocation.Default))
        {
            IsRunning = true,
            OnPaused = static _ => throw new IOException("the disk is gone"),
            OnResume = static () => throw new InvalidOperationException("no vCPU left"),
        };
        using var incoming = new TestIncomingGuest();
        await using var destination = Destination(incoming, channels: 0);
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        var log = new FailureLog();

        var failure = await Assert.ThrowsAsync<MigrationException>(() => new MigrationSource(guest, new(), log).MigrateAsync(
            destination.LocalAddresses[0], cancellationToken: TestContext.Current.CancellationToken));

        Assert.Equal((FailureReason.HostFailed, GuestOwner.Source), (failure.Reason, failure.Owner));
        Assert.StartsWith("the disk is gone; ", failure.Message, StringComparison.Ordinal);
        Assert.Contains("no vCPU left", failure.Message, StringComparison.Ordinal);
        Assert.True(log.HasFailure);
        await Assert.ThrowsAsync<MigrationException>(() => receiving);
    }

    [Fact]
    public async Task A_cancelled_migration_whose_guest_cannot_be_resumed_does_not_say_that_it_runs()
    {
        using var cancel = new CancellationTokenSource();
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 8 << 20, RamAllocation.Default))
        {
            IsRunning = true,
            OnPaused = _ => cancel.CancelAsync(),
            OnResume = static () => throw new InvalidOperationException("no vCPU left"),
        };
        using var incoming = new TestIncomingGuest();
        await using var destination = Destination(incoming, channels: 0);
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);

        var failure = await Assert.ThrowsAsync<MigrationException>(() => new MigrationSource(guest, new()).MigrateAsync(
            destination.LocalAddresses[0], cancellationToken: cancel.Token));

        Assert.Contains("cancelled", failure.Message, StringComparison.Ordinal);
        Assert.Contains("no vCPU left", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<MigrationException>(() => receiving);
    }

    [Fact]
    public async Task Cancelling_in_a_round_that_cannot_proceed_frees_every_thread()
    {
        // A destination that admits nobody: the channels fill up and every sender blocks.
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var guest = TestGuest.Patterned(64 << 20);
        guest.IsRunning = true;
        using var cancel = new CancellationTokenSource();
        var sending = new MigrationSource(guest, new() { MultifdChannels = 2 }).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), new CancelWhenBytesMove(cancel), cancel.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => sending.WaitAsync(TimeSpan.FromSeconds(15), TestContext.Current.CancellationToken));
        Assert.True(guest.IsRunning);
        Assert.Equal(0, guest.Resumed); // it was never stopped
    }

    [Theory]
    [InlineData("silent", FailureReason.OutcomeUnknown, false)]
    [InlineData("closes", FailureReason.OutcomeUnknown, false)]
    [InlineData("refuses", FailureReason.PeerRefused, true)]
    [InlineData("refuses early", FailureReason.PeerRefused, true)]
    [InlineData("garbage", FailureReason.OutcomeUnknown, false)]
    public async Task The_destinations_answer_decides(string answer, FailureReason reason, bool runsHere)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var guest = Running();
        var destination = Task.Run(() => Answer(listener, answer), TestContext.Current.CancellationToken);
        var options = new MigrationSourceOptions { CommitTimeout = TimeSpan.FromMilliseconds(answer == "silent" ? 200 : 10_000) };
        var failure = await Assert.ThrowsAsync<MigrationException>(() => new MigrationSource(guest, options).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(reason, failure.Reason);
        Assert.Equal(runsHere ? GuestOwner.Source : GuestOwner.Unknown, failure.Owner);
        Assert.Equal(runsHere, guest.IsRunning);
        await destination;
    }

    [Fact]
    public async Task A_commit_that_takes_long_is_no_stall()
    {
        var time = new FakeTimeProvider();
        var committing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var guest = Running();
        using var incoming = new TestIncomingGuest
        {
            OnCommit = () =>
            {
                committing.SetResult();
                return release.Task;
            },
        };
        await using var destination = Destination(incoming, channels: 2);
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        var options = new MigrationSourceOptions
        {
            MultifdChannels = 2,
            StallTimeout = TimeSpan.FromSeconds(4),
            CommitTimeout = TimeSpan.FromMinutes(1),
        };
        var sending = new MigrationSource(guest, options, timeProvider: time).MigrateAsync(
            destination.LocalAddresses[0], cancellationToken: TestContext.Current.CancellationToken);
        await committing.Task.WaitAsync(TestContext.Current.CancellationToken);
        for (var second = 0; second < 30; second++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
        }

        release.SetResult();
        await sending.WaitAsync(TimeSpan.FromSeconds(15), TestContext.Current.CancellationToken);
        await receiving;
        Assert.True(incoming.Started);
        Assert.False(guest.IsRunning);
    }

    private static void Answer(TcpListener listener, string answer)
    {
        using var socket = listener.AcceptSocket();
        var buffer = new byte[1 << 20];
        if (answer == "refuses early")
        {
            socket.Send([0, 1, 0, 4, 0, 0, 0, 1]);
            RawSource.ReadToEnd(socket);
            return;
        }

        // The stream ends with the VM description: its last bytes are the end of JSON, and then nothing comes.
        socket.ReceiveTimeout = 100;
        try
        {
            while (socket.Receive(buffer) > 0)
            {
            }
        }
        catch (SocketException quiet) when (quiet.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
        {
            // Everything has been read.
        }

        // It has read everything but the last byte, which comes in return for the answers to both PINGs.
        socket.Send([0, 2, 0, 4, 0, 0, 0, 1, 0, 2, 0, 4, 0, 0, 0, 2]);
        socket.ReceiveTimeout = 10_000;
        Assert.Equal(1, socket.Receive(buffer));
        switch (answer)
        {
            case "refuses":
                socket.Send([0, 1, 0, 4, 0, 0, 0, 1]);
                break;
            case "garbage":
                socket.Send([9, 9, 9, 9, 9, 9, 9, 9]);
                break;
            case "closes":
                return;
        }

        RawSource.ReadToEnd(socket);
    }

    private static TestGuest Running()
    {
        var guest = TestGuest.Patterned(4 << 20);
        guest.IsRunning = true;
        return guest;
    }

    private static MigrationDestination Destination(TestIncomingGuest incoming, int channels) =>
        new([ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { MultifdChannels = channels });

    private static ChannelAddress UnusedAddress()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ChannelAddress.Parse(probe.LocalEndpoint.ToString()!);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private sealed class CancelWhenBytesMove(CancellationTokenSource cancel) : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value)
        {
            if (value.Phase == MigrationPhase.Precopy)
            {
                cancel.Cancel();
            }
        }
    }

    /// <summary>Notes whether a failure of the migration was logged.</summary>
    private sealed class FailureLog : ILogger<MigrationSource>
    {
        private volatile bool _hasFailure;

        public bool HasFailure => _hasFailure;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (eventId.Id == 5006)
            {
                _hasFailure = true;
            }
        }
    }
}
