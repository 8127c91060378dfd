using System.Text.Json;
using DataPlane.Guard.Order;

namespace DataPlane.Guard.Qmp;

/// <summary>The questions and commands of a guard to the monitor of a QEMU that waits for a migration.</summary>
internal sealed class QemuMonitor : IAsyncDisposable
{
    private readonly QmpClient _client;
    private readonly GuardedVmOptions _options;

    private QemuMonitor(QmpClient client, GuardedVmOptions options)
    {
        _client = client;
        _options = options;
    }

    /// <summary>A task that completes when QEMU, or its monitor, is gone.</summary>
    public Task Ended => _client.Ended;

    /// <summary>Connects to the monitor.</summary>
    /// <param name="options">The options tell where the monitor is and how long it may take.</param>
    /// <param name="time">The clock of the time limits.</param>
    /// <param name="statusChanged">Called with each status of the migration, on the monitor's reader: it must not wait.</param>
    /// <param name="cancellationToken">Cancels the attempt.</param>
    /// <exception cref="QmpException">There is no monitor, or it sends no usable greeting.</exception>
    /// <exception cref="TimeoutException">The monitor does not answer in time.</exception>
    public static async Task<QemuMonitor> ConnectAsync(
        GuardedVmOptions options, TimeProvider time, Action<string> statusChanged, CancellationToken cancellationToken)
    {
        var client = await QmpClient.ConnectAsync(options.Qmp!, options.MonitorTimeout, time, (name, data) =>
        {
            if (name == "MIGRATION" && QmpText.Of(data, "status") is { } text)
            {
                statusChanged(text);
            }
        }, cancellationToken).ConfigureAwait(false);
        return new QemuMonitor(client, options);
    }

    /// <summary>Asks QEMU what it expects, and makes it listen where only the guard connects.</summary>
    /// <exception cref="QmpException">QEMU cannot receive a migration; the message tells why.</exception>
    /// <exception cref="TimeoutException">The monitor does not answer in time.</exception>
    public async Task<QemuTarget> PrepareAsync(CancellationToken cancellationToken)
    {
        var address = IncomingAddress.Choose(_options);
        var capabilities = Read("query-migrate-capabilities",
            await AskAsync("query-migrate-capabilities", cancellationToken).ConfigureAwait(false), Capabilities);
        var parameters = await AskAsync("query-migrate-parameters", cancellationToken).ConfigureAwait(false);
        var uuid = await AskAsync("query-uuid", cancellationToken).ConfigureAwait(false);
        var target = new QemuTarget
        {
            Address = address,
            Version = _client.Version,
            Channels = capabilities.Contains("multifd") ? Read("query-migrate-parameters", parameters, Channels) : 0,
            Postcopy = capabilities.Contains("postcopy-ram"),
            Preempt = capabilities.Contains("postcopy-preempt"),
            // A VM without a UUID reports zeros, here as in its channels.
            Uuid = _options.Uuid ?? Read("query-uuid", uuid, static answer =>
                Guid.ParseExact(answer.GetProperty("UUID").GetString() ?? "", "D")),
            Tls = Read("query-migrate-parameters", parameters, static answer =>
                answer.TryGetProperty("tls-creds", out var creds) && creds.GetString() is { Length: > 0 }),
        };
        if (capabilities.Contains("x-colo"))
        {
            throw new QmpException(
                "QEMU is to replicate its guest (capability x-colo): its main channel never ends, "
                + "and a guard ends when the guest has come; turn the capability off, or leave the guard out");
        }

        if (ForwardingOrder.WhyNot(target) is { } reason)
        {
            throw new QmpException(reason);
        }

        if (target.Tls && _options.Tls is not null)
        {
            throw new QmpException("QEMU has TLS credentials too: TLS ends in QEMU or in the guard, not in both");
        }

        if (!capabilities.Contains("events"))
        {
            await ReportEventsAsync(cancellationToken).ConfigureAwait(false);
        }

        return await ListenAsync(target, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Asks QEMU which RAM blocks it has, and leaves <paramref name="blocks"/> as it is when no answer comes in time. Ask while the guest
    /// is elsewhere: the monitor of a QEMU that runs the guest may stand still.
    /// </summary>
    public async Task AskBlocksAsync(KnownBlocks blocks, CancellationToken cancellationToken)
    {
        try
        {
            var table = await _client.ExecuteAsync("human-monitor-command",
                json => json.WriteString("command-line", "info ramblock"), _options.MonitorTimeout, cancellationToken)
                    .ConfigureAwait(false);
            blocks.Take(QmpText.Whole(table) ?? "");
        }
        catch (Exception e) when (e is QmpException or TimeoutException or InvalidOperationException or OperationCanceledException)
        {
            // This QEMU has no commands for people, or is gone.
        }
    }

    /// <summary>Waits for an answer that only QEMU's main loop gives. Returns false when none has come in time, or none can come.</summary>
    public async Task<bool> IsTurningAsync(CancellationToken cancellationToken)
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

    /// <summary>
    /// Makes a paused QEMU listen again. Where the monitor takes commands out of band, this works even while it answers no others.
    /// </summary>
    /// <exception cref="QmpException">QEMU refused the command, or is gone.</exception>
    /// <exception cref="TimeoutException">The monitor does not answer in time.</exception>
    public async Task RecoverAsync(ChannelAddress address, CancellationToken cancellationToken) =>
        await _client.ExecuteAsync("migrate-recover", json => json.WriteString("uri", UriOf(address)),
            _options.MonitorTimeout, cancellationToken, outOfBand: _client.HasOutOfBand).ConfigureAwait(false);

    public ValueTask DisposeAsync() => _client.DisposeAsync();

    private static string UriOf(ChannelAddress address) => address.IsUnix ? address.ToString() : $"tcp:{address}";

    /// <summary>Returns the capabilities that are on.</summary>
    public static HashSet<string> Capabilities(JsonElement answer) =>
    [
        .. answer.EnumerateArray().Where(static entry => entry.GetProperty("state").GetBoolean())
            .Select(static entry => entry.GetProperty("capability").GetString() ?? ""),
    ];

    private static int Channels(JsonElement answer)
    {
        var channels = answer.GetProperty("multifd-channels").GetInt32();
        return channels is > 0 and <= AdmissionOptions.MaxMultifdChannels ? channels
            : throw new FormatException($"{channels} multifd channels");
    }

    /// <summary>
    /// Reads an answer of QEMU, which is less trusted than the guard: an answer that is not of the documented form ends in a
    /// <see cref="QmpException"/>.
    /// </summary>
    public static T Read<T>(string command, JsonElement answer, Func<JsonElement, T> read)
    {
        try
        {
            return read(answer);
        }
        catch (Exception e) when (e is InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new QmpException($"the answer of QEMU to {command} cannot be used: {e.Message}", e);
        }
    }

    private static SocketPlace OpenPlace(string path)
    {
        try
        {
            return SocketPlace.Open(path);
        }
        catch (IOException e)
        {
            throw new QmpException($"the folder of QEMU's socket cannot be opened: {e.Message}", e);
        }
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

    /// <summary>
    /// Makes QEMU listen. A guard that was started again finds QEMU listening where the guard before it told it to. Any other address is
    /// only QEMU's claim, for which the operator must vouch.
    /// </summary>
    private async Task<QemuTarget> ListenAsync(QemuTarget target, CancellationToken cancellationToken)
    {
        var listens = Read("query-migrate", await AskAsync("query-migrate", cancellationToken).ConfigureAwait(false),
            static answer => answer.TryGetProperty("socket-address", out var said) ? said.EnumerateArray().ToArray() : []);
        if (listens is [var first, ..])
        {
            return IncomingAddress.IsThere(target.Address, first)
                ? target with { Place = target.Address.IsUnix ? OpenPlace(target.Address.Path) : null }
                : throw new QmpException($"QEMU listens at {IncomingAddress.Describe(first)} already, where this guard has not told it to: "
                    + "say --incoming with that address if it is right, or start QEMU with -incoming defer");
        }

        if (!IncomingAddress.NeedsPort(target.Address))
        {
            return await TellAsync(target, cancellationToken).ConfigureAwait(false);
        }

        QmpException? taken = null;
        foreach (var address in IncomingAddress.WithFreePort(target.Address))
        {
            try
            {
                return await TellAsync(target with { Address = address }, cancellationToken).ConfigureAwait(false);
            }
            catch (QmpException refusal) when (refusal.Message.Contains("Address already in use", StringComparison.Ordinal))
            {
                taken = refusal;
            }
        }

        throw taken!;
    }

    private async Task<QemuTarget> TellAsync(QemuTarget target, CancellationToken cancellationToken)
    {
        var place = target.Address.IsUnix ? OpenPlace(target.Address.Path) : null;
        try
        {
            await _client.ExecuteAsync("migrate-incoming", json => json.WriteString("uri", UriOf(target.Address)),
                _options.MonitorTimeout, cancellationToken).ConfigureAwait(false);
            return target with { Place = place, IsToldByUs = true };
        }
        catch (QmpException refusal) when (refusal.Message.Contains("already been started", StringComparison.Ordinal))
        {
            place?.Dispose();
            throw new QmpException(
                "QEMU has been told of its incoming migration before, and takes one in its life: the next QEMU at this monitor "
                + $"that waits with -incoming defer can be guarded ({refusal.Message})", refusal);
        }
        catch
        {
            place?.Dispose();
            throw;
        }
    }
}
