using System.Globalization;
using System.Text.Json;
using DataPlane.Guard.Order;
using DataPlane.Transport;

namespace DataPlane.Guard.Qmp;

/// <summary>What a guard asks and tells the monitor of a QEMU that waits for a migration.</summary>
internal sealed class QemuMonitor : IAsyncDisposable
{
    private readonly QmpClient _client;
    private readonly GuardedVmOptions _options;

    private QemuMonitor(QmpClient client, GuardedVmOptions options)
    {
        _client = client;
        _options = options;
    }

    /// <summary>Ends when QEMU, or its monitor, has.</summary>
    internal Task Ended => _client.Ended;

    /// <param name="options">Says where the monitor is and how long it may take.</param>
    /// <param name="time">Clock of the limits.</param>
    /// <param name="statusChanged">Told of each state of the migration. On the monitor's reader: it must not wait.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpException">There is no monitor, or it does not answer.</exception>
    internal static async Task<QemuMonitor> ConnectAsync(
        GuardedVmOptions options, TimeProvider time, Action<string> statusChanged, CancellationToken cancellationToken)
    {
        QmpClient client = await QmpClient.ConnectAsync(options.Qmp!, options.MonitorTimeout, time, (name, data) =>
        {
            if (name == "MIGRATION" && data.TryGetProperty("status", out JsonElement status) && status.GetString() is { } text)
                statusChanged(text);
        }, cancellationToken).ConfigureAwait(false);
        return new QemuMonitor(client, options);
    }

    /// <summary>Learns what QEMU expects, and makes it listen where only the guard connects.</summary>
    /// <exception cref="QmpException">QEMU cannot receive a migration; says why.</exception>
    /// <exception cref="TimeoutException">The monitor stands still.</exception>
    internal async Task<QemuTarget> PrepareAsync(CancellationToken cancellationToken)
    {
        HashSet<string> capabilities = [];
        JsonElement switches = await AskAsync("query-migrate-capabilities", cancellationToken).ConfigureAwait(false);
        foreach (JsonElement entry in switches.EnumerateArray())
        {
            if (entry.GetProperty("state").GetBoolean())
                capabilities.Add(entry.GetProperty("capability").GetString() ?? "");
        }

        JsonElement parameters = await AskAsync("query-migrate-parameters", cancellationToken).ConfigureAwait(false);
        JsonElement uuid = await AskAsync("query-uuid", cancellationToken).ConfigureAwait(false);
        var target = new QemuTarget
        {
            Address = IncomingAddress,
            Version = _client.Version,
            Channels = capabilities.Contains("multifd") ? parameters.GetProperty("multifd-channels").GetInt32() : 0,
            Postcopy = capabilities.Contains("postcopy-ram"),
            Preempt = capabilities.Contains("postcopy-preempt"),
            // A VM without one says zeros, here as in its channels.
            Uuid = _options.Uuid ?? Guid.Parse(uuid.GetProperty("UUID").GetString() ?? ""),
            Tls = parameters.TryGetProperty("tls-creds", out JsonElement creds) && creds.GetString() is { Length: > 0 },
        };
        if (HandOverOrder.WhyNot(target) is { } reason)
            throw new QmpException(reason);
        if (target.Tls && _options.Tls is not null)
            throw new QmpException("QEMU has TLS credentials too: TLS ends in QEMU or in the guard, not in both");
        if (!capabilities.Contains("events"))
            await ReportEventsAsync(cancellationToken).ConfigureAwait(false);
        return target with { Address = await ListenAsync(cancellationToken).ConfigureAwait(false) };
    }

    /// <summary>The migration's state, or null when there is none yet or the monitor does not answer in time.</summary>
    internal async Task<string?> TryQueryStatusAsync(CancellationToken cancellationToken)
    {
        try
        {
            JsonElement info = await AskAsync("query-migrate", cancellationToken).ConfigureAwait(false);
            return info.TryGetProperty("status", out JsonElement status) ? status.GetString() : null;
        }
        catch (Exception e) when (e is QmpException or TimeoutException)
        {
            return null;
        }
    }

    /// <summary>
    /// Learns which RAM blocks QEMU has; leaves <paramref name="blocks"/> as it is when the monitor does not say it in time. To be asked
    /// while the guest is elsewhere: the monitor of a QEMU that runs it may stand still.
    /// </summary>
    internal async Task AskBlocksAsync(KnownBlocks blocks, CancellationToken cancellationToken)
    {
        try
        {
            JsonElement table = await _client.ExecuteAsync("human-monitor-command",
                json => json.WriteString("command-line", "info ramblock"), _options.MonitorTimeout, cancellationToken)
                    .ConfigureAwait(false);
            blocks.Take(table.GetString() ?? "");
        }
        catch (Exception e) when (e is QmpException or TimeoutException or InvalidOperationException or OperationCanceledException)
        {
            // A QEMU without the commands for people, or none any more.
        }
    }

    /// <summary>
    /// Waits for an answer that only the main loop gives: false when none has come before the end of the wait, or none will.
    /// </summary>
    internal async Task<bool> IsTurningAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _client.ExecuteAsync("query-version", null, _options.TlsHandshakeTimeout, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is QmpException or TimeoutException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Makes a paused QEMU listen again; answered also while its monitor stands still otherwise.</summary>
    /// <exception cref="QmpException">QEMU refused it, or is gone.</exception>
    /// <exception cref="TimeoutException">No answer in time.</exception>
    internal async Task RecoverAsync(ChannelAddress address, CancellationToken cancellationToken) =>
        await _client.ExecuteAsync("migrate-recover", json => json.WriteString("uri", UriOf(address)),
            _options.MonitorTimeout, cancellationToken, outOfBand: _client.HasOutOfBand).ConfigureAwait(false);

    public ValueTask DisposeAsync() => _client.DisposeAsync();

    /// <summary>Beside the QMP socket, because QEMU may live in another root that shares only that folder with us.</summary>
    private ChannelAddress IncomingAddress
    {
        get
        {
            if (_options.Incoming is { } wanted)
                return wanted;
            string path = $"{_options.Qmp!.Path}.incoming";
            return _options.Qmp.IsUnix && System.Text.Encoding.UTF8.GetByteCount(path) <= ChannelAddress.MaxPathBytes
                ? ChannelAddress.Unix(path) : ChannelAddress.Tcp("127.0.0.1", 0);
        }
    }

    private static string UriOf(ChannelAddress address) => address.IsUnix ? address.ToString() : $"tcp:{address}";

    private static ChannelAddress? AddressIn(JsonElement info)
    {
        if (!info.TryGetProperty("socket-address", out JsonElement addresses) || addresses.GetArrayLength() == 0)
            return null;
        JsonElement address = addresses[0];
        return address.GetProperty("type").GetString() switch
        {
            "unix" => ChannelAddress.Unix(address.GetProperty("path").GetString() ?? ""),
            "inet" => ChannelAddress.Tcp(
                address.GetProperty("host").GetString() is { } host and not ("0.0.0.0" or "::") ? host : "127.0.0.1",
                int.Parse(address.GetProperty("port").GetString() ?? "", NumberStyles.None, CultureInfo.InvariantCulture)),
            { } other => throw new QmpException($"QEMU listens on {other}, where a guard cannot connect"),
            null => throw new QmpException("QEMU does not say where it listens"),
        };
    }

    private Task<JsonElement> AskAsync(string command, CancellationToken cancellationToken) =>
        _client.ExecuteAsync(command, null, _options.MonitorTimeout, cancellationToken);

    private Task<JsonElement> ReportEventsAsync(CancellationToken cancellationToken) =>
        _client.ExecuteAsync("migrate-set-capabilities", json =>
        {
            json.WriteStartArray("capabilities");
            json.WriteStartObject();
            json.WriteString("capability", "events");
            json.WriteBoolean("state", true);
            json.WriteEndObject();
            json.WriteEndArray();
        }, _options.MonitorTimeout, cancellationToken);

    /// <summary>A guard that was started again finds QEMU listening where its predecessor told it to.</summary>
    private async Task<ChannelAddress> ListenAsync(CancellationToken cancellationToken)
    {
        if (AddressIn(await AskAsync("query-migrate", cancellationToken).ConfigureAwait(false)) is { } already)
            return already;
        ChannelAddress address = IncomingAddress;
        await _client.ExecuteAsync("migrate-incoming", json => json.WriteString("uri", UriOf(address)),
            _options.MonitorTimeout, cancellationToken).ConfigureAwait(false);
        return address is { IsUnix: false, Port: 0 }
            ? AddressIn(await AskAsync("query-migrate", cancellationToken).ConfigureAwait(false))
                ?? throw new QmpException("QEMU does not say on which port it listens")
            : address;
    }
}
