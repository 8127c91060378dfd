using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;

namespace DataPlane.QemuTests.Harness;

/// <summary>A running `dataplane receive`.</summary>
internal sealed class ReceiveProcess : IAsyncDisposable
{
    private const string Listening = "listening on ";
    private readonly ChildProcess _process;
    private readonly string _json;

    private ReceiveProcess(ChildProcess process, string json)
    {
        _process = process;
        _json = json;
    }

    /// <summary>What a source's `migrate` takes.</summary>
    public string Uri { get; private set; } = "";

    /// <summary>Starts the command and waits until it listens.</summary>
    /// <param name="options">How it is called.</param>
    /// <param name="work">Where its JSON goes.</param>
    /// <param name="token">Ends the waiting.</param>
    public static async Task<ReceiveProcess> StartAsync(ReceiveOptions options, WorkFolder work, CancellationToken token)
    {
        var json = work["receive.json"];
        string[] command =
        [
            .. options.Before, "dotnet", Repository.Tool, "receive", "--no-progress", "--listen", options.Listen,
            "--channels", options.Channels.ToString(CultureInfo.InvariantCulture), "--out", options.Out, "--json", json, .. options.Extra,
        ];
        var receive = new ReceiveProcess(await ChildProcess.StartAsync("receive", command[0], command[1..]), json);
        try
        {
            var line = await receive._process.Errors.WaitForAsync(
                line => line.StartsWith(Listening, StringComparison.Ordinal), "it listens", token: token);
            var address = line[Listening.Length..];
            receive.Uri = address.StartsWith("unix:", StringComparison.Ordinal) ? address : $"tcp:{address}";
            return receive;
        }
        catch
        {
            await receive.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits until it has lost its source in postcopy and lets it in again.</summary>
    public Task WaitForPauseAsync(CancellationToken token) => _process.Errors.WaitForAsync(
        line => line.Contains("waiting for the source", StringComparison.Ordinal), "it waits for the source", token: token);

    /// <summary>
    /// Waits until it has read so much, by its control socket: a reset throws away what has come and was not read.
    /// </summary>
    public static async Task WaitForBytesAsync(string control, long least, CancellationToken token)
    {
        for (var patience = System.Diagnostics.Stopwatch.StartNew(); ; await Task.Delay(20, token))
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(control), token);
            await socket.SendAsync("{\"schema\":\"dataplane.postcopy_control/1\",\"command\":\"status\"}\n"u8.ToArray(), token);
            using var reader = new StreamReader(new NetworkStream(socket));
            var answer = JsonElement.Parse(await reader.ReadToEndAsync(token)).GetProperty("migration");
            if (answer.GetProperty("transferred_bytes").GetInt64() >= least)
            {
                return;
            }

            if (patience.Elapsed > Patience.Default)
            {
                throw new TimeoutException($"receive has not read {least} bytes: {answer}");
            }
        }
    }

    /// <summary>Waits until it has failed and lets its source come to take its guest back.</summary>
    public Task WaitForReturnAsync(CancellationToken token) => _process.Errors.WaitForAsync(
        line => line.Contains("until this command gives it back", StringComparison.Ordinal), "it gives its guest back", token: token);

    public void Interrupt() => _process.Signal(ChildProcess.Interrupt);

    /// <summary>Waits until it has taken the Ctrl-C of a postcopy and goes on, as it says two seconds later.</summary>
    public Task WaitForStopAsync(CancellationToken token) => _process.Errors.WaitForAsync(
        line => line.Contains("told to stop", StringComparison.Ordinal), "it was told to stop", token: token);

    /// <summary>Waits for its end.</summary>
    public async Task<ReceiveResult> WaitAsync(CancellationToken token)
    {
        var code = await _process.WaitForExitAsync(token: token);
        var errors = _process.Errors.Snapshot().Where(line => !line.StartsWith(Listening, StringComparison.Ordinal));
        return new ReceiveResult(code, _process.Output.Snapshot(), [.. errors], File.Exists(_json)
            ? await File.ReadAllTextAsync(_json, token) : null);
    }

    public string Describe() =>
        $"receive{_process.Ending}:\n  {string.Join("\n  ", _process.Output.Snapshot().Concat(_process.Errors.Snapshot()))}";

    public ValueTask DisposeAsync() => _process.DisposeAsync();
}
