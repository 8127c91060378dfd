using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DataPlane.QemuTests.Harness;

internal sealed partial class QemuProcess
{
    // Events before this one belong to an earlier migration.
    private int _begin;

    /// <summary>Sets capabilities and parameters, for either side.</summary>
    public async Task PrepareMigrationAsync(MigrationSettings settings, CancellationToken token)
    {
        await ExecuteAsync("migrate-set-capabilities", settings.CapabilityArguments(), token);
        await ExecuteAsync("migrate-set-parameters", settings.ParameterArguments(), token);
    }

    /// <summary>Starts listening (or loading, for file:PATH); returns the URI to migrate to.</summary>
    public async Task<string> StartIncomingAsync(string uri, CancellationToken token)
    {
        await ExecuteAsync("migrate-incoming", new JsonObject { ["uri"] = uri }, token);
        if (!uri.EndsWith(":0", StringComparison.Ordinal))
        {
            return uri;
        }

        var address = (await ExecuteAsync("query-migrate", null, token)).GetProperty("socket-address")[0];
        return $"tcp:{address.GetProperty("host").GetString()}:{address.GetProperty("port").GetString()}";
    }

    /// <summary>Gives QEMU a connection, which a URI then names as <c>fd:NAME</c>.</summary>
    public Task GiveDescriptorAsync(string name, System.Net.Sockets.Socket connection, CancellationToken token) =>
        _monitor.ExecuteAsync("getfd", new JsonObject { ["fdname"] = name }, token, descriptor: connection);

    /// <summary>Starts an outgoing migration.</summary>
    public Task StartMigrationAsync(string uri, CancellationToken token)
    {
        _begin = _monitor.Events.Count;
        return ExecuteAsync("migrate", new JsonObject { ["uri"] = uri }, token);
    }

    /// <summary>Migrates to <paramref name="uri"/> and waits for success.</summary>
    public async Task<JsonElement> MigrateAsync(string uri, CancellationToken token)
    {
        await StartMigrationAsync(uri, token);
        return await WaitForMigrationAsync("completed", token);
    }

    /// <summary>
    /// Waits for the end of the migration on either side, which must be <paramref name="expected"/>; returns query-migrate's answer.
    /// </summary>
    public async Task<JsonElement> WaitForMigrationAsync(string expected, CancellationToken token)
    {
        var ended = await _monitor.Events.WaitForAsync(IsEnd, $"the migration is {expected}", _begin, token: token);
        var status = StatusOf(ended);
        var details = await ExecuteAsync("query-migrate", null, token);
        if (status != expected)
        {
            throw new InvalidOperationException(
                $"{Name}: the migration is {status}, not {expected}: {details}; {string.Join(" | ", Errors.Snapshot())}");
        }

        return details;
    }

    /// <summary>
    /// Waits until one of query-migrate's counters (e.g. `ram`, `transferred`) has come to <paramref name="least"/>, or the migration is
    /// complete; fails at once when it fails.
    /// </summary>
    /// <param name="group">Of counters.</param>
    /// <param name="counter">One of them.</param>
    /// <param name="least">What it must come to.</param>
    /// <param name="token">Ends the waiting.</param>
    /// <param name="mayFail">Whether a migration that fails is no fault of the test.</param>
    public async Task WaitForCounterAsync(string group, string counter, long least, CancellationToken token, bool mayFail = false)
    {
        var patience = Stopwatch.StartNew();
        for (; ; )
        {
            // QEMU has no event for this: it has to be asked again and again.
            var details = await ExecuteAsync("query-migrate", null, token);
            var status = details.TryGetProperty("status", out var said) ? said.GetString() : null;
            // First: a migration that has failed may have counted what it never sent.
            if (!mayFail && status is ("failed" or "cancelled"))
            {
                throw new InvalidOperationException(
                    $"{Name}: the migration is {status}, {group} {counter} never {least}: {details}; "
                    + string.Join(" | ", Errors.Snapshot()));
            }

            if (details.TryGetProperty(group, out var counters) && counters.GetProperty(counter).GetInt64() >= least)
            {
                return;
            }

            if (status is "completed" or "failed" or "cancelled")
            {
                return;
            }

            if (patience.Elapsed > Patience.Default)
            {
                throw new TimeoutException($"{Name}: {group} {counter} did not come to {least} in time: {details}");
            }

            await Task.Delay(20, token);
        }
    }

    /// <summary>
    /// Waits until the migration comes to a state on its way (postcopy-active, postcopy-paused...); fails at once when it ends before.
    /// </summary>
    /// <param name="status">The state.</param>
    /// <param name="token">Ends the waiting.</param>
    /// <param name="from">How many events to leave out: <see cref="EventCount"/> of an earlier time, or the start of the migration.</param>
    public async Task WaitForStateAsync(string status, CancellationToken token, int? from = null)
    {
        var entry = await _monitor.Events.WaitForAsync(
            entry => StatusOf(entry) == status || IsEnd(entry), $"the migration is {status}", from ?? _begin, token: token);
        if (StatusOf(entry) != status)
        {
            throw new InvalidOperationException(
                $"{Name}: the migration is {StatusOf(entry)}, never {status}; {string.Join(" | ", Errors.Snapshot())}");
        }
    }

    /// <summary>Waits until QEMU runs the guest, for the first time in its life.</summary>
    public Task WaitForGuestAsync(CancellationToken token) =>
        _monitor.Events.WaitForAsync(entry => entry.GetProperty("event").GetString() == "RESUME", "the guest runs", token: token);

    /// <summary>Whether it has run the guest at some time, so far.</summary>
    public bool HasRunGuest => _monitor.Events.Snapshot().Any(entry => entry.GetProperty("event").GetString() == "RESUME");

    /// <summary>The states that QEMU has reported so far, oldest first.</summary>
    public IReadOnlyList<string> States => [.. _monitor.Events.Snapshot().Select(StatusOf).OfType<string>()];

    public int EventCount => _monitor.Events.Count;

    /// <summary>Goes on with a paused postcopy, to where the destination listens.</summary>
    public async Task ResumeMigrationAsync(string uri, CancellationToken token)
    {
        await WaitForReturnPathToRestAsync(token);
        _begin = _monitor.Events.Count;
        await ExecuteAsync("migrate", new JsonObject { ["uri"] = uri, ["resume"] = true }, token);
    }

    private static bool IsEnd(JsonElement entry) => StatusOf(entry) is "completed" or "failed" or "cancelled";

    private static string? StatusOf(JsonElement entry) =>
        entry.GetProperty("event").GetString() == "MIGRATION" ? entry.GetProperty("data").GetProperty("status").GetString() : null;
}
