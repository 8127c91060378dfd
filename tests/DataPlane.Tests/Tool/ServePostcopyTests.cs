using System.Net;
using System.Net.Sockets;
using DataPlane.Tests.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Serve;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>The session of <c>serve</c> around a guest that runs there before its memory is there.</summary>
public sealed class ServePostcopyTests : IAsyncLifetime
{
    private const int RamBytes = 4 << 20;

    private readonly CancellationTokenSource _stop = new();
    private readonly ServeServer _server;
    private readonly Task _running;

    public ServePostcopyTests()
    {
        IServeLeg leg = new PostcopyServeLeg(
            IPAddress.Loopback, new ChannelOptions(), null, NullLogger<MigrationDestination>.Instance, TimeProvider.System);
        var settings = new ServeSettings { MaxRamBytes = RamBytes };
        _server = new ServeServer(new IPEndPoint(IPAddress.Loopback, 0), settings, [leg], TimeProvider.System, _ => { });
        _running = _server.RunAsync(_stop.Token);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static PostcopyRequest Sound => new()
    {
        Preempt = false,
        Seed = 1,
        ZeroPercent = 0,
        WindowBytes = RamBytes,
        TouchBytesPerSecond = 100 << 20,
        Threads = 2,
    };

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _running.WaitAsync(TimeSpan.FromMinutes(1), CancellationToken.None));
        _server.Dispose();
        _stop.Dispose();
    }

    [Fact]
    public async Task What_a_guest_cannot_do_is_refused()
    {
        PostcopyRequest?[] refused =
        [
            null, Sound with { ZeroPercent = 101 }, Sound with { ZeroPercent = -1 }, Sound with { WindowBytes = 0 },
            Sound with { WindowBytes = RamBytes + 1 }, Sound with { TouchBytesPerSecond = 0 }, Sound with { Threads = 0 },
            Sound with { Threads = PostcopyRequest.MaxThreads + 1 },
        ];
        foreach (var request in refused)
        {
            await using var control = await OpenAsync();
            var error = Assert.IsType<ErrorMessage>(await AskAsync(control, Prepare(request)));
            Assert.Equal(ErrorMessage.BadRequest, error.Code);
        }
    }

    [Fact]
    public async Task Behind_a_lost_link_nobody_touches_that_memory_and_the_next_leg_has_its_own()
    {
        LiveGuest.RequireUserfaultfd();
        await using var control = await OpenAsync();
        using var guest = new Workload(new WorkloadOptions { RamBytes = RamBytes }, TimeProvider.System);
        Assert.NotNull((await MoveAsync(control, guest, new Fault { CutAt = RamBytes / 2 })).Error);

        var result = await MoveAsync(control, guest, Fault.None);

        Assert.Null(result.Error);
        var digest = Assert.IsType<DigestResultMessage>(await AskAsync(control, new DigestMessage()));
        Assert.Equal(MemoryDigest.Compute(guest.Block), digest.Value);
        Assert.NotNull((await MoveAsync(control, guest, new Fault { CutAt = RamBytes / 2 })).Error);
        Assert.Equal(ErrorMessage.BadRequest, Assert.IsType<ErrorMessage>(await AskAsync(control, new DigestMessage())).Code);
    }

    private static PrepareMessage Prepare(PostcopyRequest? request) =>
        new() { Leg = PostcopyLeg.LegName, RamBytes = RamBytes, Channels = 0, Postcopy = request };

    private static async Task<ControlMessage?> AskAsync(ControlConnection control, ControlMessage message)
    {
        await control.WriteAsync(message, Token);
        return await control.ReadAsync(TimeSpan.FromMinutes(1), Token);
    }

    private static async Task<ResultMessage> MoveAsync(ControlConnection control, Workload guest, Fault fault)
    {
        var port = Assert.IsType<ReadyMessage>(await AskAsync(control, Prepare(Sound))).Port;
        await using var proxy = FaultProxy.Start(
            ChannelAddress.Tcp("127.0.0.1", port), _ => new FaultPlan { Forward = fault });
        var source = new MigrationSource(
            new WorkloadGuest(guest), new MigrationSourceOptions { Postcopy = true, MaxPostcopyBytesPerSecond = 32 << 20 });
        Task sending = source.MigrateAsync(proxy.Address, null, Token);
        var result = Assert.IsType<ResultMessage>(await control.ReadAsync(TimeSpan.FromMinutes(1), Token));
        await Task.WhenAny(sending).WaitAsync(TimeSpan.FromMinutes(1), Token);
        return result;
    }

    /// <summary>Opens a session; again while the one before is not yet over.</summary>
    private async Task<ControlConnection> OpenAsync()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        while (true)
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(_server.LocalEndPoint, limit.Token);
            var control = new ControlConnection(new NetworkStream(socket, ownsSocket: true), "server", TimeProvider.System);
            var hello = new HelloMessage { Version = HelloMessage.CurrentVersion, DataplaneVersion = "test" };
            try
            {
                if (await AskAsync(control, hello) is WelcomeMessage)
                {
                    return control;
                }
            }
            catch (IOException) when (!limit.IsCancellationRequested)
            {
                // Refused before it was heard.
            }

            await control.DisposeAsync();
        }
    }
}
