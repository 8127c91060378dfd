using System.Text.Json;
using DataPlane.Guard.Qmp;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Send;

/// <summary>What the QEMU at the destination tells about itself through its monitor, before anything is sent.</summary>
internal sealed record WaitingQemu
{
    /// <summary>The time limit for each answer of the monitor.</summary>
    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromSeconds(10);

    private const string MachineSuffix = "-machine";

    /// <summary>Version of QEMU.</summary>
    public required Version Version { get; init; }

    /// <summary>The run state: <c>inmigrate</c> while it waits.</summary>
    public required string State { get; init; }

    /// <summary>The machine type's full name; null where the monitor does not tell.</summary>
    public string? Machine { get; init; }

    /// <summary>The migration capabilities that are on.</summary>
    public required IReadOnlySet<string> Capabilities { get; init; }

    /// <summary>The parameter multifd-channels, which counts only with capability multifd.</summary>
    public required int Channels { get; init; }

    /// <summary>The parameter multifd-compression.</summary>
    public required string Compression { get; init; }

    /// <summary>Whether the channels of its migrations are inside TLS.</summary>
    public required bool Tls { get; init; }

    /// <summary>Its RAM blocks; empty where the monitor does not tell.</summary>
    public required IReadOnlyList<RamBlockRow> Blocks { get; init; }

    /// <summary>Asks the monitor, and changes nothing there.</summary>
    /// <exception cref="CommandException">There is no monitor, or its answers cannot be used.</exception>
    public static async Task<WaitingQemu> AskAsync(ChannelAddress monitor, TimeProvider time, CancellationToken cancellation)
    {
        try
        {
            var client =
                await QmpClient.ConnectAsync(monitor, s_answerTimeout, time, static (_, _) => { }, cancellation).ConfigureAwait(false);
            await using (client.ConfigureAwait(false))
            {
                return await AskAsync(client, cancellation).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is QmpException or TimeoutException)
        {
            throw new CommandException($"--qmp: {OneLine.Of(exception.Message)}", innerException: exception);
        }
    }

    private static async Task<WaitingQemu> AskAsync(QmpClient client, CancellationToken cancellation)
    {
        var status = await AskAsync(client, "query-status", cancellation).ConfigureAwait(false);
        var capabilities = await AskAsync(client, "query-migrate-capabilities", cancellation).ConfigureAwait(false);
        var parameters = await AskAsync(client, "query-migrate-parameters", cancellation).ConfigureAwait(false);
        return new WaitingQemu
        {
            Version = client.Version,
            State = QemuMonitor.Read("query-status", status, static answer =>
                QmpText.Of(answer, "status") ?? throw new FormatException("it has no status")),
            Machine = await TryAskTextAsync(client, "qom-get", static json =>
            {
                json.WriteString("path", "/machine");
                json.WriteString("property", "type");
            }, cancellation).ConfigureAwait(false) is { } type && type.EndsWith(MachineSuffix, StringComparison.Ordinal)
                ? QmpText.Cut(type[..^MachineSuffix.Length]) : null,
            Capabilities = QemuMonitor.Read("query-migrate-capabilities", capabilities, QemuMonitor.Capabilities),
            Channels = QemuMonitor.Read("query-migrate-parameters", parameters,
                static answer => answer.TryGetProperty("multifd-channels", out var channels) ? channels.GetInt32() : 0),
            Compression = QmpText.Of(parameters, "multifd-compression") ?? "none",
            Tls = QemuMonitor.Read("query-migrate-parameters", parameters, static answer =>
                answer.TryGetProperty("tls-creds", out var credentials) && credentials.GetString() is { Length: > 0 }),
            Blocks = RamBlockTable.Parse(await TryAskTextAsync(client, "human-monitor-command",
                static json => json.WriteString("command-line", "info ramblock"), cancellation).ConfigureAwait(false) ?? ""),
        };
    }

    private static Task<JsonElement> AskAsync(QmpClient client, string command, CancellationToken cancellation) =>
        client.ExecuteAsync(command, null, s_answerTimeout, cancellation);

    /// <summary>Asks for something that some QEMUs do not tell; null then.</summary>
    private static async Task<string?> TryAskTextAsync(
        QmpClient client, string command, Action<Utf8JsonWriter> arguments, CancellationToken cancellation)
    {
        try
        {
            return QmpText.Whole(await client.ExecuteAsync(command, arguments, s_answerTimeout, cancellation).ConfigureAwait(false));
        }
        catch (QmpException)
        {
            return null;
        }
    }
}
