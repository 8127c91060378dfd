using System.Net;
using System.Net.Sockets;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Serve;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class ServeServerTests : IAsyncLifetime
{
    private readonly CancellationTokenSource _stop = new();
    private readonly FakeLeg _leg = new();
    private readonly ServeServer _server;
    private readonly Task _running;

    public ServeServerTests()
    {
        var settings = new ServeSettings { MaxRamBytes = 1 << 20 };
        _server = new ServeServer(new IPEndPoint(IPAddress.Loopback, 0), settings, [_leg], TimeProvider.System, _ => { });
        _running = _server.RunAsync(_stop.Token);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _running);
        _server.Dispose();
        _stop.Dispose();
    }

    [Fact]
    public async Task A_host_without_an_address_is_named()
    {
        var nowhere = ChannelAddress.Parse("nowhere.test:0");
        var error = await Assert.ThrowsAsync<CommandException>(
            () => ServeCommand.ResolveAsync(nowhere, static (_, _) => Task.FromResult<IPAddress[]>([]), Token));
        Assert.Equal("--listen: 'nowhere.test' has no address", error.Message);
    }

    private async Task<ControlConnection> ConnectAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(_server.LocalEndPoint, Token);
        return new ControlConnection(new NetworkStream(socket, ownsSocket: true), "server", TimeProvider.System);
    }

    private static async Task<ControlMessage?> AskAsync(ControlConnection control, ControlMessage message)
    {
        await control.WriteAsync(message, Token);
        return await control.ReadAsync(null, Token);
    }

    private static HelloMessage Hello(int version = HelloMessage.CurrentVersion) => new() { Version = version, DataplaneVersion = "test" };

    private static PrepareMessage Prepare(string leg = FakeLeg.LegName, long ramBytes = 64 * 1024, int channels = 1) =>
        new() { Leg = leg, RamBytes = ramBytes, Channels = channels };

    /// <summary>Opens a session; retries while the server has not yet noticed that the session before is over.</summary>
    private async Task<ControlConnection> OpenAsync()
    {
        while (true)
        {
            var control = await ConnectAsync();
            if (await AskAsync(control, Hello()) is WelcomeMessage)
            {
                return control;
            }

            await control.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_session_answers_hello_prepare_and_digest_in_turn()
    {
        await using var control = await ConnectAsync();
        var welcome = Assert.IsType<WelcomeMessage>(await AskAsync(control, Hello()));
        Assert.Equal(1 << 20, welcome.MaxRamBytes);
        Assert.Equal(FakeLeg.FakePort, Assert.IsType<ReadyMessage>(await AskAsync(control, Prepare())).Port);
        _leg.Finish(new ResultMessage { Seconds = 1, Bytes = 64 * 1024 });
        var result = Assert.IsType<ResultMessage>(await control.ReadAsync(null, Token));
        Assert.Equal(64 * 1024, result.Bytes);
        Assert.True(result.CpuSeconds >= 0);
        Assert.Equal(64, Assert.IsType<DigestResultMessage>(await AskAsync(control, new DigestMessage())).Value.Length);
    }

    [Fact]
    public async Task Memory_reads_as_zero_at_the_start_of_every_leg_though_it_is_kept()
    {
        await using var control = await OpenAsync();
        for (var leg = 0; leg < 2; leg++)
        {
            Assert.IsType<ReadyMessage>(await AskAsync(control, Prepare()));
            var block = Assert.Single(_leg.Guest!.Blocks);
            Assert.Equal(64 * 1024, block.Length);
            Assert.True(block.StartsZeroed);
            Assert.False(block.Span(0, (int)block.Length).ContainsAnyExcept((byte)0));
            block.Span(0, (int)block.Length).Fill(0xAA);
            _leg.Finish(new ResultMessage());
            Assert.IsType<ResultMessage>(await control.ReadAsync(null, Token));
        }
    }

    [Fact]
    public async Task A_second_client_is_told_busy_and_the_first_goes_on()
    {
        await using var first = await OpenAsync();
        await using var second = await ConnectAsync();
        Assert.Equal(ErrorMessage.Busy, Assert.IsType<ErrorMessage>(await second.ReadAsync(null, Token)).Code);
        Assert.IsType<ReadyMessage>(await AskAsync(first, Prepare()));
    }

    [Fact]
    public async Task Another_protocol_version_is_refused_with_both_versions_named()
    {
        await using var control = await ConnectAsync();
        var error = Assert.IsType<ErrorMessage>(await AskAsync(control, Hello(2)));
        Assert.Equal(ErrorMessage.WrongVersion, error.Code);
        Assert.Contains("protocol 2", error.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string, long, int> BadRequests() => new()
    {
        { "no-such-leg", 64 * 1024, 1 },
        { FakeLeg.LegName, 0, 1 },
        { FakeLeg.LegName, -4096, 1 },
        { FakeLeg.LegName, 4095, 1 },
        { FakeLeg.LegName, (1 << 20) + 4096, 1 },
        { FakeLeg.LegName, long.MaxValue, 1 },
        { FakeLeg.LegName, 64 * 1024, -1 },
        { FakeLeg.LegName, 64 * 1024, 256 },
    };

    [Theory]
    [MemberData(nameof(BadRequests))]
    public async Task A_request_beyond_the_limits_is_refused_before_the_leg_hears_of_it(string leg, long ramBytes, int channels)
    {
        await using var control = await OpenAsync();
        var error = Assert.IsType<ErrorMessage>(await AskAsync(control, Prepare(leg, ramBytes, channels)));
        Assert.Equal(ErrorMessage.BadRequest, error.Code);
        Assert.Null(_leg.Guest);
        Assert.Null(await control.ReadAsync(null, Token));
    }

    [Fact]
    public async Task Requests_out_of_turn_are_refused()
    {
        await using (var noHello = await ConnectAsync())
        {
            Assert.IsType<ErrorMessage>(await AskAsync(noHello, new DigestMessage()));
        }

        await using (var noLeg = await OpenAsync())
        {
            Assert.IsType<ErrorMessage>(await AskAsync(noLeg, new DigestMessage()));
        }

        await using var helloTwice = await OpenAsync();
        Assert.IsType<ErrorMessage>(await AskAsync(helloTwice, Hello()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_vanishes_or_speaks_during_a_leg_ends_the_leg_and_the_server_serves_the_next(bool speaks)
    {
        var control = await OpenAsync();
        Assert.IsType<ReadyMessage>(await AskAsync(control, Prepare()));
        if (speaks)
        {
            await control.WriteAsync(new DigestMessage(), Token);
        }
        else
        {
            await control.DisposeAsync();
        }

        await _leg.Cancelled.WaitAsync(TimeSpan.FromSeconds(30), Token);
        await control.DisposeAsync();
        await using var next = await OpenAsync();
        Assert.IsType<ReadyMessage>(await AskAsync(next, Prepare()));
    }

    [Fact]
    public async Task Garbage_instead_of_a_message_ends_that_session_alone()
    {
        using (var socket = new Socket(SocketType.Stream, ProtocolType.Tcp))
        {
            await socket.ConnectAsync(_server.LocalEndPoint, Token);
            await socket.SendAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray(), Token);
            var answer = new byte[1];
            Assert.Equal(0, await ReadOrResetAsync(socket, answer));
        }

        await using var next = await OpenAsync();
    }

    private static async Task<int> ReadOrResetAsync(Socket socket, byte[] buffer)
    {
        try
        {
            return await socket.ReceiveAsync(buffer, Token);
        }
        catch (SocketException)
        {
            // Unread garbage in the server's buffer turns its close into a reset.
            return 0;
        }
    }

    /// <summary>A leg that ends when the test says so.</summary>
    private sealed class FakeLeg : IServeLeg
    {
        public const string LegName = "fake";
        public const int FakePort = 4242;

        private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private TaskCompletionSource<ResultMessage> _result = new();
        private long _progress;

        public void Move() => Interlocked.Increment(ref _progress);

        public string Name => LegName;

        public GuestMemory? Guest { get; private set; }

        public Task Cancelled => _cancelled.Task;

        public void Finish(ResultMessage result) => _result.SetResult(result);

        public Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation)
        {
            Guest = guest;
            _result = new TaskCompletionSource<ResultMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
            return Task.FromResult<IServeLegRun>(new Run(this));
        }

        private sealed class Run(FakeLeg leg) : IServeLegRun
        {
            public int Port => FakePort;

            public long Progress => Interlocked.Read(ref leg._progress);

            public async Task<ResultMessage> RunAsync(CancellationToken cancellation)
            {
                try
                {
                    return await leg._result.Task.WaitAsync(cancellation);
                }
                catch (OperationCanceledException)
                {
                    leg._cancelled.TrySetResult();
                    throw;
                }
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
