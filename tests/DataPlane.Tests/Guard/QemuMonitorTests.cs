using System.Collections.Concurrent;
using DataPlane.Guard;
using DataPlane.Guard.Qmp;
using DataPlane.TestSupport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class QemuMonitorTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Capabilities_parameters_and_uuid_become_the_target_and_QEMU_listens_beside_its_monitor()
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities("events", "multifd");

        await using var monitor = await ConnectAsync(fake);
        var target = await monitor.PrepareAsync(Token);

        Assert.Equal(new Version(10, 0, 13), target.Version);
        Assert.Equal(2, target.Channels);
        Assert.False(target.Preempt);
        Assert.False(target.Tls);
        Assert.Equal(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), target.Uuid);
        Assert.Equal(ChannelAddress.Unix($"{fake.Address.Path}.incoming"), target.Address);
        Assert.Equal($"{{\"uri\":\"unix:{fake.Address.Path}.incoming\"}}",
            fake.Request("migrate-incoming").GetProperty("arguments").GetRawText());
        Assert.Equal("""{"enable":["oob"]}""", fake.Request("qmp_capabilities").GetProperty("arguments").GetRawText());
        Assert.False(fake.WasAsked("migrate-set-capabilities"));
    }

    [Fact]
    public async Task Channels_count_only_with_multifd_and_events_are_switched_on()
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities("postcopy-ram", "postcopy-preempt");

        await using var monitor = await ConnectAsync(fake);
        var target = await monitor.PrepareAsync(Token);

        Assert.Equal(0, target.Channels);
        Assert.True(target.Postcopy);
        Assert.True(target.Preempt);
        Assert.Equal("""{"capabilities":[{"capability":"events","state":true}]}""",
            fake.Request("migrate-set-capabilities").GetProperty("arguments").GetRawText());
    }

    [Theory]
    [InlineData("""{"type": "unix", "path": "OWN"}""", null)]
    [InlineData("""{"type": "inet", "host": "0.0.0.0", "port": "4444"}""", ":4444")]
    [InlineData("""{"type": "inet", "host": "127.0.0.1", "port": "4444"}""", "127.0.0.1:4444")]
    public async Task A_QEMU_that_listens_where_it_is_to_is_not_told_again(string said, string? incoming)
    {
        using FakeMonitor fake = new();
        var own = $"{fake.Address.Path}.incoming";
        fake.Answers["query-migrate"] =
            $$"""{"socket-address": [{{said.Replace("OWN", own, StringComparison.Ordinal)}}], "status": "setup"}""";

        await using var monitor = await ConnectAsync(fake, incoming: incoming);
        var target = await monitor.PrepareAsync(Token);

        Assert.Equal(incoming is null ? ChannelAddress.Unix(own) : ChannelAddress.Parse(incoming), target.Address);
        Assert.False(target.IsToldByUs);
        Assert.False(fake.WasAsked("migrate-incoming"));
        target.Place?.Dispose();
    }

    [Theory]
    [InlineData("""{"type": "unix", "path": "/run/somebody/else.sock"}""", null, "unix:/run/somebody/else.sock")]
    [InlineData("""{"type": "unix", "path": "/run/x\u001b]52;c;eA==\u0007"}""", null, @"unix:/run/x\u001B]52")]
    [InlineData("""{"type": "inet", "host": "127.0.0.1", "port": "22"}""", null, "127.0.0.1:22")]
    [InlineData("""{"type": "inet", "host": "127.0.0.1", "port": "22"}""", "127.0.0.1:4444", "127.0.0.1:22")]
    [InlineData("""{"type": "inet", "host": "10.0.0.1", "port": "4444"}""", "127.0.0.1:4444", "10.0.0.1:4444")]
    [InlineData("""{"type": "inet", "host": "127.0.0.1", "port": "22"}""", "127.0.0.1:0", "127.0.0.1:22")]
    [InlineData("""{"type": "vsock", "cid": "2", "port": "22"}""", null, "vsock")]
    [InlineData("7", null, "nothing known")]
    [InlineData("""{"type": "unix", "path": "\ud800"}""", null, "unix:")]
    [InlineData("""{"type": "\udc00x"}""", null, "nothing known")]
    [InlineData("""{"type": ["unix"], "path": 7}""", null, "nothing known")]
    public async Task A_place_that_QEMU_names_itself_is_not_used(string said, string? incoming, string shown)
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate"] = $$"""{"socket-address": [{{said}}], "status": "setup"}""";

        await using var monitor = await ConnectAsync(fake, incoming: incoming);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Contains(shown, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("--incoming", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', refusal.Message);
    }

    /// <summary>Each could be what a QEMU says that its guest has taken over: none may be more than a failed preparation.</summary>
    [Theory]
    [InlineData("query-uuid", """{"UUID": "no"}""")]
    [InlineData("query-uuid", """{"UUID": 7}""")]
    [InlineData("query-uuid", "[]")]
    [InlineData("query-migrate-capabilities", """[{"capability": "multifd"}]""")]
    [InlineData("query-migrate-capabilities", """[{"capability": 1, "state": true}]""")]
    [InlineData("query-migrate-capabilities", "{}")]
    [InlineData("query-migrate-parameters", """{"multifd-channels": 0}""")]
    [InlineData("query-migrate-parameters", """{"multifd-channels": 256}""")]
    [InlineData("query-migrate-parameters", """{"multifd-channels": -1}""")]
    [InlineData("query-migrate-parameters", """{"multifd-channels": 1e300}""")]
    [InlineData("query-migrate-parameters", "{}")]
    [InlineData("query-migrate", "[]")]
    [InlineData("query-migrate", """{"socket-address": 3}""")]
    public async Task An_answer_that_is_none_is_refused_in_words(string command, string answer)
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities("events", "multifd");
        fake.Answers[command] = answer;

        await using var monitor = await ConnectAsync(fake);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Contains(command, refusal.Message, StringComparison.Ordinal);
        Assert.False(fake.WasAsked("migrate-incoming"));
    }

    [Theory]
    [InlineData("-1, \"minor\": 0, \"micro\": 0")]
    [InlineData("10, \"minor\": 1e9, \"micro\": 0.5")]
    [InlineData("10, \"micro\": 0")]
    public async Task A_version_that_is_none_is_refused_in_words(string version)
    {
        using FakeMonitor fake = new(version);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => ConnectAsync(fake));

        Assert.Contains("version", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_answer_with_a_number_that_is_none_ends_the_session_and_nothing_else()
    {
        using FakeMonitor fake = new();
        fake.Answers.Remove("query-uuid", out _);
        await using var monitor = await ConnectAsync(fake);
        var preparing = monitor.PrepareAsync(Token);
        await Eventually.TrueAsync(() => fake.WasAsked("query-uuid"), "it is asked", Token);

        fake.Say("""{"return": {}, "id": 1e99}""");

        await Assert.ThrowsAsync<QmpException>(() => preparing);
        await monitor.Ended.WaitAsync(TimeSpan.FromMinutes(1), Token);
    }

    [Fact]
    public async Task A_port_is_chosen_by_the_guard_and_another_one_when_it_is_taken_meanwhile()
    {
        using FakeMonitor fake = new();
        fake.Answers["migrate-incoming"] = "error: Failed to bind socket: Address already in use";
        await using var monitor = await ConnectAsync(fake, incoming: "127.0.0.1:0");

        await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));

        string[] tried = [.. fake.Requests.Where(r => r.TryGetProperty("execute", out var name) && name.GetString() == "migrate-incoming")
            .Select(r => r.GetProperty("arguments").GetProperty("uri").GetString()!)];
        Assert.True(tried.Length > 1);
        Assert.All(tried, uri => Assert.Matches("^tcp:127\\.0\\.0\\.1:[1-9][0-9]*$", uri));

        fake.Answers["migrate-incoming"] = "{}";
        var target = await monitor.PrepareAsync(Token);
        Assert.NotEqual(0, target.Address.Port);
    }

    [Theory]
    [InlineData("11, \"minor\": 1, \"micro\": 3", "capability x-colo", "events", "return-path", "x-colo")] // it is to replicate its guest
    [InlineData("7, \"minor\": 2, \"micro\": 22", "the guest would be lost", "events", "multifd", "postcopy-ram")]
    public async Task What_a_version_cannot_do_is_refused_before_it_listens(string version, string said, params string[] capabilities)
    {
        using FakeMonitor fake = new(version);
        fake.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities(capabilities);

        await using var monitor = await ConnectAsync(fake);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Contains(said, refusal.Message, StringComparison.Ordinal);
        Assert.False(fake.WasAsked("migrate-incoming"));
    }

    [Fact]
    public async Task A_QEMU_with_TLS_credentials_gets_TLS_and_none_of_a_guard_that_ends_it()
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate-parameters"] = """{"multifd-channels": 2, "tls-creds": "tls0"}""";
        await using (var passes = await ConnectAsync(fake))
        {
            Assert.True((await passes.PrepareAsync(Token)).Tls);
        }

        using FakeMonitor another = new();
        another.Answers["query-migrate-parameters"] = fake.Answers["query-migrate-parameters"];
        using TestAuthority authority = new();
        using var own = TlsCredentials.FromFolder(authority.Folder, TlsEnd.Server);
        await using var monitor = await ConnectAsync(another, credentials: own);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Contains("TLS credentials", refusal.Message, StringComparison.Ordinal);
        Assert.False(another.WasAsked("migrate-incoming"));
    }

    [Theory]
    [InlineData("migrate-incoming", "QEMU is busy", "QEMU is busy")]
    [InlineData("query-uuid", @"\ud800", "no reason given")] // half a surrogate pair is no text
    public async Task A_refusal_is_told_in_QEMUs_words(string command, string desc, string said)
    {
        using FakeMonitor fake = new();
        fake.Answers[command] = "error: " + desc;

        await using var monitor = await ConnectAsync(fake);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Equal($"{command} was refused: {said}", refusal.Message);
    }

    [Fact]
    public async Task A_QEMU_that_has_had_its_migration_is_told_from_one_that_refuses()
    {
        using FakeMonitor fake = new();
        fake.Answers["migrate-incoming"] = "error: The incoming migration has already been started";

        await using var monitor = await ConnectAsync(fake);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.StartsWith("QEMU has been told of its incoming migration before", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_monitor_that_does_not_read_does_not_hold_its_caller()
    {
        using FakeMonitor fake = new() { Hears = 1 };
        await using var client = await QmpClient.ConnectAsync(
            fake.Address, TimeSpan.FromMinutes(1), TimeProvider.System, (_, _) => { }, Token);

        // More than any socket takes.
        await Assert.ThrowsAsync<TimeoutException>(() => client.ExecuteAsync("device_add",
            json => json.WriteString("id", new string('x', 64 << 20)), TimeSpan.FromMilliseconds(200), Token)
                .WaitAsync(TimeSpan.FromMinutes(2), Token));
    }

    [Fact]
    public async Task Sending_a_command_and_its_answer_share_one_time_limit()
    {
        using FakeMonitor fake = new() { Hears = 1 };
        FakeTimeProvider time = new();
        await using var client = await QmpClient.ConnectAsync(fake.Address, TimeSpan.FromMinutes(1), time, (_, _) => { }, Token);

        // More than a socket takes: it is sent when the monitor reads on.
        var asked = client.ExecuteAsync("device_add",
            json => json.WriteString("id", new string('x', 4 << 20)), TimeSpan.FromSeconds(10), Token);
        time.Advance(TimeSpan.FromSeconds(6));
        fake.HearOn();
        await Eventually.TrueAsync(() => fake.WasAsked("device_add"), "it is sent", Token);
        time.Advance(TimeSpan.FromSeconds(6));

        await Eventually.TrueAsync(() => asked.IsCompleted, "it is given up", Token);
        await Assert.ThrowsAsync<TimeoutException>(() => asked);
    }

    [Fact]
    public async Task A_monitor_that_another_client_holds_is_named_as_such()
    {
        using FakeMonitor fake = new(greets: false);

        var refusal = await Assert.ThrowsAsync<QmpException>(() => ConnectAsync(fake, TimeSpan.FromMilliseconds(50)));

        Assert.Contains("another client holds it", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_monitor_that_stands_still_does_not_hold_its_caller()
    {
        using FakeMonitor fake = new(); // it has no answer to commands for people
        KnownBlocks blocks = new();

        await using var monitor = await ConnectAsync(fake, TimeSpan.FromMilliseconds(200));

        await monitor.AskBlocksAsync(blocks, Token);
        Assert.True(fake.WasAsked("human-monitor-command"));
        Assert.False(blocks.IsKnown);
        await monitor.RecoverAsync(ChannelAddress.Tcp("127.0.0.1", 4444), Token);
        Assert.Equal("migrate-recover", fake.Requests.Last().GetProperty("exec-oob").GetString());
    }

    [Fact]
    public async Task The_end_of_the_monitor_ends_what_waits_for_it()
    {
        using FakeMonitor fake = new();
        fake.Answers.Remove("query-uuid", out _);
        await using var monitor = await ConnectAsync(fake, TimeSpan.FromMinutes(1));
        var preparing = monitor.PrepareAsync(Token);
        await Eventually.TrueAsync(() => fake.WasAsked("query-uuid"), "it is asked", Token);

        fake.HangUp();

        await Assert.ThrowsAsync<QmpException>(() => preparing);
        await monitor.Ended.WaitAsync(TimeSpan.FromMinutes(1), Token);
    }

    [Fact]
    public async Task States_come_as_events_in_their_order()
    {
        using FakeMonitor fake = new();
        ConcurrentQueue<string> states = new();
        await using var monitor = await ConnectAsync(fake, statusChanged: states.Enqueue);

        fake.SayStatus("setup");
        fake.Say("""{"event": "STOP"}""");
        fake.SayStatus("active");

        await Eventually.TrueAsync(() => states.Count == 2, "two states", Token);
        Assert.Equal(["setup", "active"], states);
    }

    private static Task<QemuMonitor> ConnectAsync(FakeMonitor fake, TimeSpan? timeout = null, Action<string>? statusChanged = null,
        TlsCredentials? credentials = null, string? incoming = null) =>
        QemuMonitor.ConnectAsync(
            new GuardedVmOptions
            {
                Name = "vm",
                Listen = [ChannelAddress.Parse("127.0.0.1:0")],
                Qmp = fake.Address,
                Incoming = incoming is null ? null : ChannelAddress.Parse(incoming),
                MonitorTimeout = timeout ?? TimeSpan.FromSeconds(30),
                Tls = credentials,
            },
            TimeProvider.System, statusChanged ?? (_ => { }), Token);
}
