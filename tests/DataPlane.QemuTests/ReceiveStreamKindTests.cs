using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>
/// Sources whose stream is no plain migration: each capability and mode is taken, or refused by its name while the guest is its source's.
/// </summary>
public sealed class ReceiveStreamKindTests : ReceiveTest
{
    private static readonly Guid s_uuid = new("00112233-4455-6677-8899-aabbccddeeff");

    public static TheoryData<string> Versions => new(QemuVersion.All.Select(version => version.Label));

    [Theory]
    [InlineData("10.0", false, 0)]
    [InlineData("11.1", false, 0)]
    [InlineData("11.1", true, 0)]
    [InlineData("11.1", true, 2)]
    public async Task A_source_that_hands_its_memory_to_a_process_beside_it(string version, bool returnPath, int channels)
    {
        var source = await StartSourceAsync(Sharing(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = channels });
        await source.PrepareMigrationAsync(
            new MigrationSettings { ReturnPath = returnPath, Channels = channels, Parameters = [("mode", "cpr-transfer")] }, Token);
        // The other channel is for the process beside it: it takes what comes there, and says no more.
        using var beside = new CprListener(Work["cpr"]);
        await source.ExecuteAsync("migrate", new JsonObject
        {
            ["channels"] = new JsonArray(
                Channel("main", receive.Uri),
                Channel("cpr", $"unix:{Work["cpr"]}")),
        }, Token);

        await ExpectFailureAsync(receive, "sent none of it");
        // Without a return path nobody can tell the source, which takes itself for migrated; its guest is there all the same.
        await source.WaitForMigrationAsync(returnPath ? "failed" : "completed", Token);
        if (!returnPath)
        {
            await source.ContinueGuestAsync(Token);
        }

        var last = source.Console.Reports[^1];
        await source.Console.WaitForAsync(report => report.Pass >= last.Pass + 2, "the guest goes on at the source", Token);
    }

    [Fact]
    public async Task A_source_that_replaces_itself()
    {
        var source = await StartSourceAsync(Sharing("11.1"));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile });
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                ReturnPath = true,
                Parameters = [("mode", "cpr-exec"), ("cpr-exec-command", new JsonArray("/bin/false"))],
            },
            Token);

        await source.StartMigrationAsync(receive.Uri, Token);

        // It waits for SHUT: refused, it does not replace itself.
        await ExpectFailureAsync(receive, "sent none of it");
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    public async Task A_source_that_replicates_its_guest_is_refused(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await BeginAsync(source, new MigrationSettings { ReturnPath = true, Capabilities = ["x-colo"] });

        await ExpectFailureAsync(receive, "turn off capability x-colo");
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [InlineData("pc-q35-11.1")]
    [InlineData("pc-q35-10.0")]
    public async Task A_source_that_replicates_its_guest_without_a_sign_is_found_out(string machine)
    {
        var source = await StartSourceAsync(Newest("11.1") with { Machine = machine });
        var receive = await BeginAsync(source, new MigrationSettings { ReturnPath = true, Capabilities = ["x-colo"] });

        var result = await receive.WaitAsync(Token);

        // Its stream is that of a migration to the last byte: only when it was told, and stays, does it show.
        Assert.True(result.ExitCode == 3, result.ToString());
        Assert.Contains("x-colo", Assert.Single(result.Errors), StringComparison.Ordinal);
        Assert.Equal("failed", result.Json.GetProperty("result").GetString());
        Assert.Equal("unknown", result.Json.GetProperty("guest").GetString());
        Assert.Equal("colo", await StateAsync(source));
        Assert.NotEqual("running", await source.StatusAsync(Token));
    }

    [Theory]
    [InlineData("10.0", "pc-q35-10.0", null)]
    [InlineData("11.1", "pc-q35-10.0", null)]
    [InlineData("11.1", "pc-q35-11.0", null)]
    [InlineData("11.1", "pc-q35-11.1", null)]
    [InlineData("11.1", "pc-q35-7.2", "11.1")]
    [InlineData("10.0", "pc-q35-8.0", "10.0")]
    public async Task A_source_that_waits_to_be_told_to_switch_over(string version, string machine, string? peer)
    {
        var source = await StartSourceAsync(Newest(version) with { Machine = machine });

        await CaptureAsync(
            source,
            new MigrationSettings { ReturnPath = true, Capabilities = ["switchover-ack"] },
            new ReceiveOptions { Out = OutFile, Extra = peer is null ? [] : ["--peer", peer] });

        await RunsOnAsync(source, false, QemuVersion.Parse(version));
    }

    [Theory]
    [InlineData("7.2", "pc-q35-7.2", "7.2")]
    [InlineData("11.1", "pc-q35-7.2", null)]
    [InlineData("11.1", "pc-q35-7.2", "11.1")]
    public async Task A_source_that_does_not_wait_is_not_disturbed(string version, string machine, string? peer)
    {
        var source = await StartSourceAsync(Newest(version) with { Machine = machine });

        await CaptureAsync(
            source,
            new MigrationSettings { ReturnPath = true },
            new ReceiveOptions { Out = OutFile, Extra = peer is null ? [] : ["--peer", peer] });
    }

    [Theory]
    [InlineData("7.2", "10.0")]
    [InlineData("7.2", "11.1")]
    [InlineData("10.0", "10.0")]
    [InlineData("10.0", "11.1")]
    [InlineData("11.1", "11.1")]
    public async Task A_background_snapshot_is_a_live_backup(string version, string loadedIn)
    {
        var source = await StartSourceAsync(Newest(version));
        var before = source.Console.Reports[^1];
        var receive = await BeginAsync(
            source, new MigrationSettings { Capabilities = ["background-snapshot"], MaxBandwidth = 64 << 20 });
        await source.WaitForCounterAsync("ram", "transferred", 1 << 20, Token);
        // The guest goes on while its memory of that moment is on its way.
        var begun = source.Console.Reports[^1];
        await source.Console.WaitForAsync(report => report.Pass > begun.Pass, "the guest runs on meanwhile", Token);
        await source.WaitForMigrationAsync("completed", Token);

        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.True(result.Json.GetProperty("background_snapshot").GetBoolean());
        Assert.Equal("at_source", result.Json.GetProperty("guest").GetString());
        Assert.Equal("running", result.Json.GetProperty("run_state").GetString());
        Assert.Equal("running", await source.StatusAsync(Token));
        var now = source.Console.Reports[^1];
        await source.Console.WaitForAsync(report => report.Pass > now.Pass, "the guest goes on at the source", Token);
        using (var file = MappedRamFile.Open(OutFile))
        {
            Assert.Equal(
                file.Blocks.Select(block => file.Sha256(block)),
                result.Json.GetProperty("blocks").EnumerateArray().Select(block => block.GetProperty("sha256").GetString()!));
        }

        await SnapshotRunsAsync(source, QemuVersion.Parse(loadedIn), before, begun);
    }

    // Not 7.2: a guest whose snapshot is cancelled there stands still for ever, with us and into a file.
    [Theory]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_background_snapshot_that_is_cancelled_leaves_no_file(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await BeginAsync(
            source, new MigrationSettings { Capabilities = ["background-snapshot"], MaxBandwidth = 4 << 20 });
        await WaitForPagesAsync(64);

        await source.ExecuteAsync("migrate_cancel", null, Token);

        await ExpectFailureAsync(receive, "main");
        await RunsOnAtSourceAsync(source, "cancelled");
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Dirty_bitmaps_where_there_are_none(string version)
    {
        var source = await StartSourceAsync(Newest(version));

        await CaptureAsync(source, new MigrationSettings { ReturnPath = true, Capabilities = ["dirty-bitmaps"] });

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("11.1")]
    public async Task Dirty_bitmaps_where_there_are_none_and_postcopy(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Extra = ["--postcopy"] });
        await source.PrepareMigrationAsync(
            new MigrationSettings { ReturnPath = true, Capabilities = ["dirty-bitmaps", "postcopy-ram"], MaxBandwidth = 16 << 20 }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await source.WaitForCounterAsync("ram", "transferred", 1 << 20, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);
        await source.WaitForMigrationAsync("completed", Token);

        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_dirty_bitmap_is_refused_by_its_name(string version)
    {
        var source = await StartSourceAsync(
            Newest(version) with { Extra = ["-blockdev", "null-co,node-name=disk0,size=1048576"] });
        await source.ExecuteAsync("block-dirty-bitmap-add", new JsonObject { ["node"] = "disk0", ["name"] = "backup0" }, Token);
        var receive = await BeginAsync(source, new MigrationSettings { ReturnPath = true, Capabilities = ["dirty-bitmaps"] });

        await ExpectFailureAsync(receive, "the dirty bitmap 'backup0' of disk 'disk0'");
        await RunsOnAtSourceAsync(source);
    }

    /// <summary>The parameter gives disk and bitmap the names that go over the wire.</summary>
    [Theory(Explicit = true)]
    [MemberData(nameof(Versions))]
    public async Task A_dirty_bitmap_with_another_name_is_refused_by_that(string version)
    {
        var source = await StartSourceAsync(
            Newest(version) with { Extra = ["-blockdev", "null-co,node-name=disk0,size=1048576"] });
        await source.ExecuteAsync("block-dirty-bitmap-add", new JsonObject { ["node"] = "disk0", ["name"] = "backup0" }, Token);
        var receive = await BeginAsync(
            source,
            new MigrationSettings
            {
                ReturnPath = true,
                Capabilities = ["dirty-bitmaps"],
                Parameters = [Compatibility.BitmapNames.Mapping],
            });

        await ExpectFailureAsync(receive, "the dirty bitmap 'b0' of disk 'd0'");
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Disks_that_come_along_are_refused_by_their_name(bool returnPath)
    {
        var source = await StartSourceAsync(Newest("7.2"));
        var receive = await BeginAsync(source, new MigrationSettings { ReturnPath = returnPath, Capabilities = ["block"] });

        await ExpectFailureAsync(receive, "capability block");
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [InlineData("7.2", 0, true)]
    [InlineData("11.1", 0, true)]
    [InlineData("11.1", 0, false)]
    [InlineData("11.1", 2, false)]
    public async Task The_machines_UUID_is_compared(string version, int channels, bool fits)
    {
        var source = await StartSourceAsync(Newest(version) with { Uuid = s_uuid });
        var settings = new MigrationSettings { ReturnPath = true, Channels = channels, Capabilities = ["validate-uuid"] };
        if (fits)
        {
            await CaptureAsync(source, settings, new ReceiveOptions { Out = OutFile, Extra = ["--uuid", s_uuid.ToString()] });
            return;
        }

        string[] extra = ["--uuid", "11111111-1111-1111-1111-111111111111", "--timeout", "10s"];
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = channels, Extra = extra });
        await source.PrepareMigrationAsync(settings, Token);
        await source.StartMigrationAsync(receive.Uri, Token);

        await ExpectFailureAsync(receive, $"UUID {s_uuid}");
        await RunsOnAtSourceAsync(source);
    }

    private static QemuOptions Sharing(string version)
    {
        var options = Newest(version);
        return options with
        {
            Extra =
            [
                "-object", $"memory-backend-memfd,id=shared,size={options.MemoryMiB}M,share=on",
                "-machine", "memory-backend=shared,aux-ram-share=on",
            ],
        };
    }

    private static JsonObject Channel(string type, string uri)
    {
        var address = new JsonObject { ["transport"] = "socket" };
        if (uri.StartsWith("unix:", StringComparison.Ordinal))
        {
            address["type"] = "unix";
            address["path"] = uri["unix:".Length..];
        }
        else
        {
            var parts = uri.Split(':');
            address["type"] = "inet";
            address["host"] = parts[1];
            address["port"] = parts[2];
        }

        return new JsonObject { ["channel-type"] = type, ["addr"] = address };
    }

    private static async Task<string?> StateAsync(QemuProcess source) =>
        (await source.ExecuteAsync("query-migrate", null, Token)).GetProperty("status").GetString();

    private async Task<ReceiveProcess> BeginAsync(QemuProcess source, MigrationSettings settings)
    {
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile });
        await source.PrepareMigrationAsync(settings, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        return receive;
    }

    /// <summary>
    /// The copy goes on from the moment of the snapshot and finds all of its memory right, while the guest runs on at its source.
    /// </summary>
    private async Task SnapshotRunsAsync(QemuProcess source, QemuVersion version, GuestReport before, GuestReport begun)
    {
        var machine = await StartAsync(source.Options.IncomingIn(version), $"loaded-{version.Label}");
        await machine.PrepareMigrationAsync(new MigrationSettings { MappedRam = true }, Token);
        await machine.StartIncomingAsync($"file:{OutFile}", Token);
        await machine.WaitForMigrationAsync("completed", Token);
        Assert.Equal("running", await machine.StatusAsync(Token));
        var first = await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(first.Pass, before.Pass + 1, begun.Pass + 1);
        await machine.Console.WaitForAsync(report => report.Round >= first.Round + 2, "it has found all of its memory right", Token);
        await machine.DisposeAsync();
    }
}
