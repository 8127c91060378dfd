using System.Collections.Concurrent;
using DataPlane.Guard;
using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.TestSupport;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
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

        await using QemuMonitor monitor = await ConnectAsync(fake);
        QemuTarget target = await monitor.PrepareAsync(Token);

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

        await using QemuMonitor monitor = await ConnectAsync(fake);
        QemuTarget target = await monitor.PrepareAsync(Token);

        Assert.Equal(0, target.Channels);
        Assert.True(target.Postcopy);
        Assert.True(target.Preempt);
        Assert.Equal("""{"capabilities":[{"capability":"events","state":true}]}""",
            fake.Request("migrate-set-capabilities").GetProperty("arguments").GetRawText());
    }

    [Fact]
    public async Task A_QEMU_that_listens_already_is_not_told_to_again()
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate"] = """{"socket-address": [{"type": "inet", "host": "0.0.0.0", "port": "4444"}], "status": "setup"}""";

        await using QemuMonitor monitor = await ConnectAsync(fake);

        Assert.Equal(ChannelAddress.Tcp("127.0.0.1", 4444), (await monitor.PrepareAsync(Token)).Address);
        Assert.False(fake.WasAsked("migrate-incoming"));
    }

    [Fact]
    public async Task Postcopy_beside_multifd_is_refused_before_a_version_that_would_lose_the_guest()
    {
        using FakeMonitor fake = new("7, \"minor\": 2, \"micro\": 22");
        fake.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities("events", "multifd", "postcopy-ram");

        await using QemuMonitor monitor = await ConnectAsync(fake);

        QmpException refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Contains("the guest would be lost", refusal.Message, StringComparison.Ordinal);
        Assert.False(fake.WasAsked("migrate-incoming"));
    }

    [Fact]
    public async Task A_QEMU_with_TLS_credentials_gets_TLS_and_none_of_a_guard_that_ends_it()
    {
        using FakeMonitor fake = new();
        fake.Answers["query-migrate-parameters"] = """{"multifd-channels": 2, "tls-creds": "tls0"}""";
        await using (QemuMonitor passes = await ConnectAsync(fake))
            Assert.True((await passes.PrepareAsync(Token)).Tls);

        using FakeMonitor another = new();
        another.Answers["query-migrate-parameters"] = fake.Answers["query-migrate-parameters"];
        using TestAuthority authority = new();
        using TlsCredentials own = TlsCredentials.FromFolder(authority.Folder, TlsEnd.Server);
        await using QemuMonitor monitor = await ConnectAsync(another, credentials: own);

        QmpException refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Contains("TLS credentials", refusal.Message, StringComparison.Ordinal);
        Assert.False(another.WasAsked("migrate-incoming"));
    }

    [Fact]
    public async Task A_refusal_is_told_in_QEMUs_words()
    {
        using FakeMonitor fake = new();
        fake.Answers["migrate-incoming"] = "error: The incoming migration has already been started";

        await using QemuMonitor monitor = await ConnectAsync(fake);

        QmpException refusal = await Assert.ThrowsAsync<QmpException>(() => monitor.PrepareAsync(Token));
        Assert.Equal("migrate-incoming was refused: The incoming migration has already been started", refusal.Message);
    }

    [Fact]
    public async Task A_monitor_that_another_client_holds_is_named_as_such()
    {
        using FakeMonitor fake = new(greets: false);

        QmpException refusal = await Assert.ThrowsAsync<QmpException>(() => ConnectAsync(fake, TimeSpan.FromMilliseconds(50)));

        Assert.Contains("another client holds it", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_monitor_that_stands_still_does_not_hold_its_caller()
    {
        using FakeMonitor fake = new();
        fake.Answers.Remove("query-migrate", out _);

        await using QemuMonitor monitor = await ConnectAsync(fake, TimeSpan.FromMilliseconds(200));

        Assert.Null(await monitor.TryQueryStatusAsync(Token));
        await monitor.RecoverAsync(ChannelAddress.Tcp("127.0.0.1", 4444), Token);
        Assert.Equal("migrate-recover", fake.Requests.Last().GetProperty("exec-oob").GetString());
    }

    [Fact]
    public async Task The_end_of_the_monitor_ends_what_waits_for_it()
    {
        using FakeMonitor fake = new();
        fake.Answers.Remove("query-uuid", out _);
        await using QemuMonitor monitor = await ConnectAsync(fake, TimeSpan.FromMinutes(1));
        Task<QemuTarget> preparing = monitor.PrepareAsync(Token);
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
        await using QemuMonitor monitor = await ConnectAsync(fake, statusChanged: states.Enqueue);

        fake.SayStatus("setup");
        fake.Say("""{"event": "STOP"}""");
        fake.SayStatus("active");

        await Eventually.TrueAsync(() => states.Count == 2, "two states", Token);
        Assert.Equal(["setup", "active"], states);
    }

    private static Task<QemuMonitor> ConnectAsync(FakeMonitor fake, TimeSpan? timeout = null, Action<string>? statusChanged = null, TlsCredentials? credentials = null) =>
        QemuMonitor.ConnectAsync(
            new GuardedVmOptions
            {
                Name = "vm",
                Listen = [ChannelAddress.Parse("127.0.0.1:0")],
                Qmp = fake.Address,
                MonitorTimeout = timeout ?? TimeSpan.FromSeconds(30),
                Tls = credentials,
            },
            TimeProvider.System, statusChanged ?? (_ => { }), Token);
}
