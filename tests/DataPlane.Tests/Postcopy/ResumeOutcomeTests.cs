using System.Net;
using System.Net.Sockets;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>What the host is told about its attempts to resume a migration.</summary>
public sealed class ResumeOutcomeTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_completes_when_pages_flow_again_and_says_why_they_do_not()
    {
        using var scene = new Scene();
        await scene.PauseAsync();

        var refused = await Assert.ThrowsAsync<MigrationException>(() => scene.Source.ResumeAsync(Scene.Nobody(), Token));
        Assert.Equal((MigrationPhase.Postcopy, GuestOwner.Destination), (refused.Phase, refused.Owner));
        Assert.Contains("cannot connect", refused.Message, StringComparison.Ordinal);
        Assert.Equal(scene.Last.PauseReason, refused.InnerException!.Message);
        Assert.True(scene.Last is { IsPaused: true, IsRecovering: false });

        await scene.ResumeAsync();
        Assert.False(scene.Last.IsPaused);
        Assert.Throws<InvalidOperationException>(() => { _ = scene.Source.ResumeAsync(scene.Address, Token); });
        Assert.Equal(1, (await scene.EndAsync()).Postcopy!.Recoveries);
    }

    [Fact]
    public async Task Cancelling_the_wait_leaves_the_attempt_alone_and_Pause_ends_it()
    {
        using var scene = new Scene();
        await scene.PauseAsync();
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        silent.Listen(1);

        using var cancel = new CancellationTokenSource();
        var waiting = scene.Source.ResumeAsync(ChannelAddress.From((IPEndPoint)silent.LocalEndPoint!), cancel.Token);
        using var attempt = await silent.AcceptAsync(Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.True(scene.Last.IsRecovering);

        scene.Source.Pause();
        await Eventually.TrueAsync(() => scene.Last is { IsPaused: true, IsRecovering: false }, "paused again", Token);
        Assert.Contains("given up here", scene.Last.PauseReason, StringComparison.Ordinal);
        await scene.ResumeAsync();
        await scene.EndAsync();
    }

    [Fact]
    public async Task A_migration_that_is_given_up_during_an_attempt_says_so()
    {
        using var scene = new Scene();
        await scene.PauseAsync();
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        silent.Listen(1);
        var waiting = scene.Source.ResumeAsync(ChannelAddress.From((IPEndPoint)silent.LocalEndPoint!), Token);
        using var attempt = await silent.AcceptAsync(Token);

        await scene.Cancel.CancelAsync();

        await Assert.ThrowsAsync<MigrationException>(() => waiting.WaitAsync(s_patience, Token));
        var failure = await Assert.ThrowsAsync<MigrationException>(() => scene.Sending.WaitAsync(s_patience, Token));
        Assert.Equal(FailureReason.GuestAtDestination, failure.Reason);
        await scene.GiveUpDestinationAsync();
    }

    /// <summary>A guest that stands still, on its way by postcopy, whose link is broken when half of it is there.</summary>
    private sealed class Scene : IProgress<MigrationProgress>, IDisposable
    {
        private readonly TestGuest _guest = TestGuest.Patterned(32 << 20);
        private readonly TestIncomingGuest _incoming = new();
        private readonly MigrationDestination _destination;
        private readonly LinkBreaker _breaker;
        private readonly TaskCompletionSource _paused = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private volatile MigrationProgress? _last;

        public Scene()
        {
            _destination = new MigrationDestination(
                [ChannelAddress.Parse("127.0.0.1:0")], _incoming, new MigrationDestinationOptions { Postcopy = true });
            Receiving = _destination.ReceiveAsync(cancellationToken: Token);
            Source = new MigrationSource(_guest, new MigrationSourceOptions
            {
                Postcopy = true,
                RecoveryTimeout = s_patience,
                ProgressInterval = TimeSpan.FromMilliseconds(2),
                MaxPostcopyBytesPerSecond = 64 << 20,
            });
            _breaker = new LinkBreaker(Source, address: null, _guest.Memory.TotalPages, breaks: 1) { OnPaused = _paused.SetResult };
            Sending = Source.MigrateAsync(Address, this, Cancel.Token);
        }

        public CancellationTokenSource Cancel { get; } = new();

        public MigrationSource Source { get; }

        public ChannelAddress Address => _destination.LocalAddresses[0];

        public Task<MigrationReport> Sending { get; }

        public Task<MigrationReport> Receiving { get; }

        public MigrationProgress Last => _last!;

        /// <summary>An address at which nobody listens.</summary>
        public static ChannelAddress Nobody()
        {
            using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            return ChannelAddress.From((IPEndPoint)closed.LocalEndPoint!);
        }

        public Task PauseAsync() => _paused.Task.WaitAsync(s_patience, Token);

        /// <summary>Resumes as often as it takes: the destination may not have noticed the loss of its link.</summary>
        public async Task ResumeAsync()
        {
            while (true)
            {
                try
                {
                    await Source.ResumeAsync(Address, Token).WaitAsync(s_patience, Token);
                    return;
                }
                catch (MigrationException)
                {
                    Assert.True(Last.IsPaused);
                    await Task.Delay(10, Token);
                }
            }
        }

        public async Task<MigrationReport> EndAsync()
        {
            await Task.WhenAll(Sending, Receiving).WaitAsync(s_patience, Token);
            _incoming.AssertSameMemoryAs(_guest.Memory);
            await _destination.DisposeAsync();
            return await Sending;
        }

        public async Task GiveUpDestinationAsync()
        {
            await _destination.DisposeAsync();
            await Assert.ThrowsAsync<MigrationException>(() => Receiving.WaitAsync(s_patience, Token));
        }

        public void Report(MigrationProgress value)
        {
            _last = value;
            _breaker.Report(value);
        }

        public void Dispose()
        {
            Cancel.Dispose();
            _guest.Dispose();
            _incoming.Dispose();
        }
    }
}
