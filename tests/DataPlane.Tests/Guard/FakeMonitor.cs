using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text.Json;

namespace DataPlane.Tests.Guard;

/// <summary>A QMP server with scripted answers over a Unix socket.</summary>
internal sealed class FakeMonitor : IDisposable
{
    private readonly Socket _listener;
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;
    private readonly TaskCompletionSource _hearsOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Socket? _client;

    internal FakeMonitor(string version = "10, \"minor\": 0, \"micro\": 13", bool greets = true)
    {
        Version = version;
        Greets = greets;
        Address = ChannelAddress.Unix(Path.Combine(_folder, "qmp"));
        _listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _listener.Bind(new UnixDomainSocketEndPoint(Address.Path!));
        _listener.Listen(1);
        _ = ServeAsync();
    }

    internal string Version { get; }

    internal bool Greets { get; }

    internal ChannelAddress Address { get; }

    /// <summary>The "return" of each command, or "error: text"; a command that is missing gets no answer at all.</summary>
    internal ConcurrentDictionary<string, string> Answers { get; } = new(new Dictionary<string, string>
    {
        ["qmp_capabilities"] = "{}",
        ["query-migrate-capabilities"] = Capabilities("events"),
        ["query-migrate-parameters"] = """{"multifd-channels": 2, "tls-creds": ""}""",
        ["query-uuid"] = """{"UUID": "00112233-4455-6677-8899-aabbccddeeff"}""",
        ["query-migrate"] = "{}",
        ["migrate-incoming"] = "{}",
        ["migrate-set-capabilities"] = "{}",
        ["migrate-recover"] = "{}",
    });

    /// <summary>Commands that it reads before it leaves the rest in its socket, until <see cref="HearOn"/>.</summary>
    internal int Hears { get; init; } = int.MaxValue;

    /// <summary>What came in, as it came.</summary>
    internal ConcurrentQueue<JsonElement> Requests { get; } = new();

    internal static string Capabilities(params string[] on) =>
        $"[{string.Join(",", on.Select(c => Capability(c, "true")).Append(Capability("xbzrle", "false")))}]";

    private static string Capability(string name, string state) => $$"""{"capability": "{{name}}", "state": {{state}}}""";

    internal JsonElement Request(string command) => Requests.Last(r => Command(r) == command);

    internal bool WasAsked(string command) => Requests.Any(r => Command(r) == command);

    internal void Say(string line) => _client!.Send(System.Text.Encoding.UTF8.GetBytes(line + "\r\n"));

    internal void SayStatus(string status) => Say($$$"""{"event": "MIGRATION", "data": {"status": "{{{status}}}"}}""");

    internal void HearOn() => _hearsOn.TrySetResult();

    internal void HangUp() => _client!.Dispose();

    public void Dispose()
    {
        _listener.Dispose();
        _client?.Dispose();
        HearOn();
        Directory.Delete(_folder, recursive: true);
    }

    private static string? Command(JsonElement request) =>
        (request.TryGetProperty("execute", out var name) || request.TryGetProperty("exec-oob", out name)) ? name.GetString() : null;

    private async Task ServeAsync()
    {
        try
        {
            _client = await _listener.AcceptAsync();
            if (!Greets)
            {
                return;
            }

            Say($$$"""{"QMP": {"version": {"qemu": {"major": {{{Version}}}}, "package": ""}, "capabilities": ["oob"]}}""");
            using var reader = new StreamReader(new NetworkStream(_client), leaveOpen: true);
            for (var heard = 0; await NextAsync(reader, heard) is { } line; heard++)
            {
                var request = JsonElement.Parse(line);
                Requests.Enqueue(request);
                Answer(request);
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task<string?> NextAsync(StreamReader reader, int heard)
    {
        if (heard == Hears)
        {
            await _hearsOn.Task;
        }

        return await reader.ReadLineAsync();
    }

    private void Answer(JsonElement request)
    {
        if (!Answers.TryGetValue(Command(request) ?? "", out var answer))
        {
            return;
        }

        Say("""{"event": "RESUME", "data": {}}"""); // events may stand between command and answer
        var id = request.GetProperty("id").GetInt32();
        Say(answer.StartsWith("error: ", StringComparison.Ordinal)
            ? $$$"""{"id": {{{id}}}, "error": {"class": "GenericError", "desc": "{{{answer[7..]}}}"}}"""
            : $$"""{"return": {{answer}}, "id": {{id}}}""");
    }
}
