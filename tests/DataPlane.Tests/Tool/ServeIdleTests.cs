using System.Net;
using System.Net.Sockets;
using DataPlane.TestSupport;
using DataPlane.Tool.Serve;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>Clients of <c>serve</c> that do nothing: none of them keeps others from being served for longer than the limit.</summary>
public sealed class ServeIdleTests : IAsyncDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    private readonly CancellationTokenSource _stop = new();
    private readonly FakeTimeProvider _time = new();
    private readonly IdleLeg _leg = new();
    private readonly TestAuthority _authority = new();
    private readonly List<IAsyncDisposable> _connections = [];
    private ServeServer? _server;
    private Task _running = Task.CompletedTask;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in _connections)
        {
            await connection.DisposeAsync();
        }

        await _stop.CancelAsync();
        await ((Task)_running).WaitAsync(s_patience, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Assert.True(_running.IsCompleted, "the server does not end");
        _server?.Dispose();
        _stop.Dispose();
        _authority.Dispose();
    }

    [Fact]
    public async Task A_client_that_says_nothing_between_two_legs_is_ended_at_the_limit()
    {
        Start();
        var idle = await OpenAsync();
        _time.Advance(s_limit - TimeSpan.FromSeconds(1));
        await AssertBusyAsync();
        await AssertEndedAsync(idle);
        await OpenAsync();
    }

    [Fact]
    public async Task A_leg_in_which_nothing_moves_ends_and_the_next_client_is_served()
    {
        Start();
        var idle = await OpenAsync();
        await PrepareAsync(idle);
        for (var i = 0; i < 6; i++)
        {
            _time.Advance(s_limit / 4);
            await AssertBusyAsync();
            _leg.Move(); // as long as something comes, the leg goes on
            _time.Advance(s_limit / 4);
            await AssertBusyAsync();
        }

        await AssertEndedAsync(idle);
        Assert.True(_leg.Cancelled.IsCompleted);
        await OpenAsync();
    }

    [Fact]
    public async Task A_leg_that_does_not_end_when_told_to_keeps_its_memory_and_nobody_else_waiting()
    {
        Start();
        _leg.IsDeaf = true;
        var idle = await OpenAsync();
        await PrepareAsync(idle);
        await AssertEndedAsync(idle);
        await OpenAsync();
        Assert.Equal(0, _leg.Guest!.Blocks[0].Span(0, 1)[0]); // no fault: it is there
        _leg.LetGo();
    }

    [Fact]
    public async Task Memory_that_takes_long_to_fill_is_time_for_the_client()
    {
        Start(maxRamBytes: 64L << 30);
        var filling = await OpenAsync(64L << 30);
        _time.Advance(s_limit + TimeSpan.FromMinutes(4)); // 256 s for 64 GiB
        await PrepareAsync(filling);
    }

    [Fact]
    public async Task A_connection_that_says_no_word_holds_no_seat()
    {
        Start();
        _ = await ConnectAsync();
        await OpenAsync();
    }

    [Fact]
    public async Task A_connection_that_begins_no_handshake_of_TLS_holds_no_seat()
    {
        using var server = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        using var client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
        Start(tls: server);
        _ = await ConnectAsync();
        await OpenAsync(tls: client);
    }

    [Fact]
    public async Task Of_too_many_that_say_nothing_the_oldest_goes()
    {
        Start();
        List<ControlConnection> silent = [];
        for (var i = 0; i < 17; i++)
        {
            silent.Add(await ConnectAsync());
        }

        Assert.Null(await ReadAsync(silent[0]));
        await OpenAsync();
    }

    private void Start(long maxRamBytes = 1 << 20, TlsCredentials? tls = null)
    {
        var settings = new ServeSettings { MaxRamBytes = maxRamBytes, IdleTimeout = s_limit };
        _server = new ServeServer(new IPEndPoint(IPAddress.Loopback, 0), settings, [_leg], _time, static _ => { }, tls);
        _running = _server.RunAsync(_stop.Token);
    }

    /// <summary>Time goes on until the server has closed it.</summary>
    private async Task AssertEndedAsync(ControlConnection control)
    {
        var read = control.ReadAsync(null, Token);
        await Eventually.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromSeconds(1));
                return read.IsCompleted;
            },
            "the session has ended", Token);
        Assert.Null(await read);
    }

    private async Task<ControlConnection> ConnectAsync(TlsCredentials? tls = null)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(_server!.LocalEndPoint, Token);
        var stream = await ControlTls.SecureAsync(socket, tls, tls is null ? null : "127.0.0.1", TimeProvider.System, Token);
        var control = new ControlConnection(stream, "server", TimeProvider.System);
        _connections.Add(control);
        return control;
    }

    /// <summary>A session; asks again while the one before is on its way out.</summary>
    private async Task<ControlConnection> OpenAsync(long ramBytes = 64 * 1024, TlsCredentials? tls = null)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Token);
        patience.CancelAfter(s_patience);
        while (true)
        {
            patience.Token.ThrowIfCancellationRequested();
            var control = await ConnectAsync(tls);
            if (await TryGreetAsync(control, ramBytes) is WelcomeMessage)
            {
                return control;
            }
        }
    }

    private async Task AssertBusyAsync() =>
        Assert.Equal(ErrorMessage.Busy, Assert.IsType<ErrorMessage>(await ReadAsync(await ConnectAsync())).Code);

    private async Task PrepareAsync(ControlConnection control)
    {
        await control.WriteAsync(new PrepareMessage { Leg = IdleLeg.LegName, RamBytes = 64 * 1024, Channels = 1 }, Token);
        Assert.IsType<ReadyMessage>(await ReadAsync(control));
        await _leg.Running.WaitAsync(s_patience, Token);
    }

    private static async Task<ControlMessage?> TryGreetAsync(ControlConnection control, long ramBytes)
    {
        try
        {
            await control.WriteAsync(
                new HelloMessage { Version = HelloMessage.CurrentVersion, DataplaneVersion = "test", RamBytes = ramBytes }, Token);
            return await ReadAsync(control);
        }
        catch (IOException)
        {
            return null; // told to go before it had spoken
        }
    }

    private static Task<ControlMessage?> ReadAsync(ControlConnection control) => control.ReadAsync(s_patience, Token);

    /// <summary>A leg that ends when it is cancelled, or not even then.</summary>
    private sealed class IdleLeg : IServeLeg
    {
        public const string LegName = "idle";

        private readonly TaskCompletionSource _running = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _letGo = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private long _progress;

        public string Name => LegName;

        public bool IsDeaf { get; set; }

        public GuestMemory? Guest { get; private set; }

        public Task Running => _running.Task;

        public Task Cancelled => _cancelled.Task;

        public void Move() => Interlocked.Increment(ref _progress);

        public void LetGo() => _letGo.TrySetResult();

        public Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation)
        {
            Guest = guest;
            return Task.FromResult<IServeLegRun>(new Run(this));
        }

        private sealed class Run(IdleLeg leg) : IServeLegRun
        {
            public int Port => 4242;

            public long Progress => Interlocked.Read(ref leg._progress);

            public async Task<ResultMessage> RunAsync(CancellationToken cancellation)
            {
                cancellation.Register(() => leg._cancelled.TrySetResult());
                leg._running.TrySetResult();
                await leg._letGo.Task.WaitAsync(leg.IsDeaf ? CancellationToken.None : cancellation);
                return new ResultMessage();
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
