using System.Globalization;

namespace DataPlane.QemuTests.Harness;

/// <summary>A running `dataplane send`.</summary>
internal sealed class SendProcess : IAsyncDisposable
{
    private readonly ChildProcess _process;
    private readonly string _json;

    private SendProcess(ChildProcess process, string json)
    {
        _process = process;
        _json = json;
    }

    /// <summary>Starts the command.</summary>
    /// <param name="file">The saved VM.</param>
    /// <param name="uri">Where the destination waits, as QEMU writes it.</param>
    /// <param name="channels">--channels</param>
    /// <param name="work">Where its JSON goes.</param>
    /// <param name="extra">Further options.</param>
    public static async Task<SendProcess> StartAsync(string file, string uri, int channels, WorkFolder work,
        params IEnumerable<string> extra)
    {
        var json = work["send.json"];
        string[] arguments =
        [
            Repository.Tool, "send", file, uri, "--no-progress", "--channels", channels.ToString(CultureInfo.InvariantCulture), "--json",
                json, .. extra,
        ];
        return new SendProcess(await ChildProcess.StartAsync("send", "dotnet", arguments), json);
    }

    /// <summary>Waits for its end.</summary>
    public async Task<SendResult> WaitAsync(CancellationToken token)
    {
        var code = await _process.WaitForExitAsync(token: token);
        return new SendResult(code, _process.Output.Snapshot(), _process.Errors.Snapshot(), File.Exists(_json)
            ? await File.ReadAllTextAsync(_json, token) : null);
    }

    public bool HasExited => _process.HasExited;

    public string Describe() =>
        $"send{_process.Ending}:\n  {string.Join("\n  ", _process.Output.Snapshot().Concat(_process.Errors.Snapshot()))}";

    public ValueTask DisposeAsync() => _process.DisposeAsync();
}
