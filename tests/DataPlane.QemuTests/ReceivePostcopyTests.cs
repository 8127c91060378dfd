using System.Text.Json;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>Captures that end by postcopy: the guest stands still, and what is missing of its memory is fetched.</summary>
public sealed class ReceivePostcopyTests : ReceiveTest
{
    // Slow enough that most of the memory is still at the source when it switches.
    private const long Slow = 12 << 20;

    public static TheoryData<string, bool> Cases => new(
        from version in QemuVersion.All
        from preempt in (bool[])[false, true]
        select new TheoryDataRow<string, bool>(version.Label, preempt));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_is_captured_by_postcopy(string version, bool preempt)
    {
        var source = await StartSourceAsync(Newest(version));

        var result = await CaptureAsync(source, preempt);

        Assert.True(result.GetProperty("postcopy").GetProperty("requested_pages").GetInt64() > 0, result.ToString());
        Assert.Equal(preempt, result.GetProperty("channels").EnumerateArray().Any(channel => channel.GetProperty("kind").GetString() == "preempt"));
        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    [Fact]
    public async Task Precopy_on_multifd_and_then_postcopy_with_preempt()
    {
        var source = await StartSourceAsync(Newest("11.1"));

        await CaptureAsync(source, preempt: true, channels: 2);

        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("11.1")]
    public async Task A_source_that_never_switches_finishes_by_precopy(string version)
    {
        var source = await StartSourceAsync(Newest(version));

        await CaptureAsync(
            source, new MigrationSettings { Capabilities = ["postcopy-ram", "postcopy-preempt"] }, new ReceiveOptions { Out = OutFile, Extra = ["--postcopy", "--preempt"] });

        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    [Fact]
    public async Task A_switch_that_is_not_expected_gives_the_guest_back()
    {
        var source = await StartSourceAsync(Newest("11.1"));
        var receive = await BeginAsync(source, preempt: false, channels: 0, new ReceiveOptions { Out = OutFile });

        await SwitchAsync(source);

        await ExpectFailureAsync(receive, "postcopy is not expected");
        await RunsOnAtSourceAsync(source);
    }

    public static TheoryData<string, bool> Recoveries => new()
    {
        { "7.2", false },
        { "10.0", true },
        { "11.1", false },
        { "11.1", true },
    };

    [Theory]
    [MemberData(nameof(Recoveries))]
    public async Task A_lost_link_is_a_pause_and_the_source_comes_again(string version, bool preempt)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await BeginAsync(source, preempt, channels: 0, Options(preempt));
        await SwitchAsync(source);
        await source.WaitForStateAsync("postcopy-active", Token);

        await source.ExecuteOutOfBandAsync("migrate-pause", null, Token);
        await source.WaitForStateAsync("postcopy-paused", Token);
        await source.ResumeMigrationAsync(receive.Uri, Token);

        var result = await FinishAsync(source, receive);
        Assert.Equal(1, result.GetProperty("postcopy").GetProperty("recoveries").GetInt32());
        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_capture_that_is_given_up_in_the_middle_leaves_the_guest_to_its_source(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await BeginAsync(source, preempt: false, channels: 0, Options(preempt: false));
        await SwitchAsync(source);
        await source.WaitForStateAsync("postcopy-active", Token);
        await source.ExecuteOutOfBandAsync("migrate-pause", null, Token);
        await source.WaitForStateAsync("postcopy-paused", Token);

        receive.Interrupt();

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 130, result.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
        await source.ExecuteAsync("migrate_cancel", null, Token);
        await source.WaitForMigrationAsync("cancelled", Token);
        await source.ContinueGuestAsync(Token);
        await RunsOnAtSourceAsync(source, "cancelled");
    }

    private async Task<JsonElement> CaptureAsync(QemuProcess source, bool preempt, int channels = 0)
    {
        var receive = await BeginAsync(source, preempt, channels, Options(preempt));
        await SwitchAsync(source);
        return await FinishAsync(source, receive);
    }

    private ReceiveOptions Options(bool preempt) => new() { Out = OutFile, Extra = preempt ? ["--postcopy", "--preempt"] : ["--postcopy"] };

    private async Task<JsonElement> FinishAsync(QemuProcess source, ReceiveProcess receive)
    {
        await source.WaitForMigrationAsync("completed", Token);
        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal("postmigrate", await source.StatusAsync(Token));
        using var file = MappedRamFile.Open(OutFile);
        var difference = file.FirstDifference(file.Ram, await source.SaveMemoryAsync(Token));
        Assert.True(difference is null, $"pc.ram differs from the source's memory at 0x{difference:x}");
        Assert.Contains("timer", file.Devices);
        Assert.Equal("running", result.Json.GetProperty("run_state").GetString());
        Assert.Equal(["vm"], Directory.GetFileSystemEntries(OutFolder).Select(Path.GetFileName));
        return result.Json;
    }

    private async Task<ReceiveProcess> BeginAsync(QemuProcess source, bool preempt, int channels, ReceiveOptions options)
    {
        var receive = await StartAsync(options with { Channels = channels });
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Channels = channels,
                MaxBandwidth = Slow,
                Capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"],
                Parameters = [("max-postcopy-bandwidth", Slow)],
            },
            Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        return receive;
    }

    private static async Task SwitchAsync(QemuProcess source)
    {
        await source.WaitForCounterAsync("ram", "transferred", 4 << 20, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);
    }
}
