using System.Text.Json;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>
/// A saved VM on its way from <c>dataplane send --postcopy</c> to <c>dataplane receive --postcopy</c>, through a link that a test may
/// break.
/// </summary>
internal sealed class PostcopyPair : IAsyncDisposable
{
    private readonly string _folder;
    private readonly SavedFile _vm = new("pc-q35-10.0");
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly FaultProxy _proxy;

    private PostcopyPair(Task<ToolRun> receiving, string folder, ChannelAddress address, Fault fault, string[] options)
    {
        _folder = folder;
        Receiving = receiving;
        Address = address;
        _proxy = FaultProxy.Start(address, index => index == 0 ? new FaultPlan { Forward = fault } : FaultPlan.None);
        Sending = ToolRun.RunAsync(
            ["send", _vm.Path, _proxy.Address.ToString(), "--postcopy", "--control", SendControl, "--no-progress", "--json", "-",
                .. options],
            _stop.Token);
    }

    public Task<ToolRun> Sending { get; }

    public Task<ToolRun> Receiving { get; }

    /// <summary>Where the destination listens, past the link.</summary>
    public ChannelAddress Address { get; }

    public string SendControl => Path.Combine(_folder, "send.sock");

    public string ReceiveControl => Path.Combine(_folder, "receive.sock");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Starts both.</summary>
    /// <param name="fault">What happens to the main channel.</param>
    /// <param name="stop">Stops the destination.</param>
    /// <param name="receive">Options of the destination.</param>
    /// <param name="send">Options of the source.</param>
    public static async Task<PostcopyPair> StartAsync(
        Fault fault, CancellationToken stop, string[]? receive = null, string[]? send = null)
    {
        var folder = Directory.CreateTempSubdirectory("dataplane-").FullName;
        var control = Path.Combine(folder, "receive.sock");
        var receiving = ToolRun.RunAsync(
            ["receive", "--listen", "127.0.0.1:0", "--postcopy", "--out", Path.Combine(folder, "vm"), "--control", control, "--no-progress",
                "--json", "-", .. receive ?? []],
            stop);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        while ((await PostcopyAsync("status", "--control", control)).ExitCode != 0 && !receiving.IsCompleted)
        {
            await Task.Delay(5, limit.Token);
        }

        var address = (await StatusAsync(control)).GetProperty("address").GetString()!;
        return new PostcopyPair(receiving, folder, ChannelAddress.Parse(address), fault, send ?? []);
    }

    /// <summary>One migration, as <c>status</c> shows it.</summary>
    public static async Task<JsonElement> StatusAsync(string control)
    {
        var run = await PostcopyAsync("status", "--control", control);
        Assert.True(run.ExitCode == 0, run.Error);
        return JsonElement.Parse(run.Out).GetProperty("migrations")[0];
    }

    public static async Task<string> StateAsync(string control) => (await StatusAsync(control)).GetProperty("state").GetString()!;

    public static Task<ToolRun> PostcopyAsync(params string[] arguments) =>
        ToolRun.RunAsync(["postcopy", .. arguments, "--json", "-"], Token);

    /// <summary>Waits until the migration at a socket is in a state.</summary>
    public static async Task ReachesAsync(string control, string state)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        while (await StateAsync(control) != state)
        {
            await Task.Delay(5, limit.Token);
        }
    }

    /// <summary>
    /// Pauses the migration at a socket, once it can be: a source has to hear first that its guest starts. It may have ended meanwhile,
    /// where pauses are short.
    /// </summary>
    public static async Task<ToolRun> PauseAsync(string control)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        while (true)
        {
            var run = await PostcopyAsync("pause", "--control", control);
            if (run.ExitCode == 0 || run.Error.Contains("already", StringComparison.Ordinal) || !File.Exists(control))
            {
                return run;
            }

            await Task.Delay(5, limit.Token);
        }
    }

    /// <summary>Both sides have seen that the link is gone.</summary>
    public async Task BothPausedAsync()
    {
        await ReachesAsync(SendControl, "paused");
        await ReachesAsync(ReceiveControl, "paused");
    }

    /// <summary>Both commands end well, and the file is what was sent.</summary>
    public async Task<(JsonElement Sent, JsonElement Received)> ArrivesAsync()
    {
        var ends = await Task.WhenAll(Sending, Receiving).WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.All(ends, static end => Assert.True(end.ExitCode == 0, end.Error));
        var (sent, received) = (JsonElement.Parse(ends[0].Out), JsonElement.Parse(ends[1].Out));
        Assert.Equal(
            sent.GetProperty("blocks").EnumerateArray().Select(static block => block.GetProperty("sha256").GetString()),
            received.GetProperty("blocks").EnumerateArray().Select(static block => block.GetProperty("sha256").GetString()));
        return (sent, received);
    }

    /// <summary>Ctrl-C at the source.</summary>
    public Task StopSourceAsync() => _stop.CancelAsync();

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _proxy.DisposeAsync();
        await Task.WhenAny(Sending).WaitAsync(TimeSpan.FromMinutes(1), CancellationToken.None);
        _stop.Dispose();
        _vm.Dispose();
        if (Receiving.IsCompleted)
        {
            Directory.Delete(_folder, recursive: true);
        }
    }
}
