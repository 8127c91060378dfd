using System.Text.Json;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

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
        Assert.Equal(preempt, result.GetProperty("channels").EnumerateArray()
            .Any(channel => channel.GetProperty("kind").GetString() == "preempt"));
        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    [Theory]
    [InlineData("7.2", true, 0)]
    [InlineData("11.1", true, 2)]
    public Task A_guest_is_captured_by_postcopy_inside_TLS(string version, bool preempt, int channels) =>
        CaptureInsideTlsAsync(version, preempt, channels);

    [Theory(Explicit = true)]
    [InlineData("7.2", false, 0)]
    [InlineData("10.0", false, 0)]
    [InlineData("10.0", true, 0)]
    [InlineData("11.1", false, 0)]
    [InlineData("11.1", true, 0)]
    public Task A_guest_is_captured_by_postcopy_inside_TLS_from_every_other_source_too(string version, bool preempt, int channels) =>
        CaptureInsideTlsAsync(version, preempt, channels);

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
            source, new MigrationSettings { Capabilities = ["postcopy-ram", "postcopy-preempt"] },
            new ReceiveOptions { Out = OutFile, Extra = ["--postcopy", "--preempt"] });

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

    [Theory]
    [InlineData("7.2", false)]
    [InlineData("11.1", true)]
    public Task A_lost_link_is_a_pause_and_the_source_comes_again(string version, bool preempt) => RecoverAsync(version, preempt);

    [Theory(Explicit = true)]
    [InlineData("7.2", true)]
    [InlineData("10.0", false)]
    [InlineData("10.0", true)]
    [InlineData("11.1", false)]
    public Task A_lost_link_is_a_pause_in_every_other_pair_too(string version, bool preempt) => RecoverAsync(version, preempt);

    [Theory(Explicit = true)]
    [InlineData("7.2", true)]
    [InlineData("10.0", false)]
    [InlineData("11.1", true)]
    public async Task A_lost_link_is_a_pause_inside_TLS_too(string version, bool preempt)
    {
        using var authority = new TestAuthority();
        await RecoverAsync(version, preempt, authority);
    }

    [Fact]
    public Task A_capture_that_is_interrupted_gives_the_guest_back_when_its_source_can_take_it() => InterruptAsync("10.0");

    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("11.1")]
    public Task A_capture_that_is_interrupted_gives_the_guest_back_to_the_other_versions_too(string version) => InterruptAsync(version);

    private async Task CaptureInsideTlsAsync(string version, bool preempt, int channels)
    {
        using var authority = new TestAuthority();
        var source = await StartSourceAsync(Secured(version, QemuVersion.Parse(version).NewestMachine, authority.Folder));

        var result = await CaptureAsync(source, preempt, channels, authority);

        Assert.True(result.GetProperty("postcopy").GetProperty("requested_pages").GetInt64() > 0, result.ToString());
        Assert.Equal(preempt, result.GetProperty("channels").EnumerateArray()
            .Any(channel => channel.GetProperty("kind").GetString() == "preempt"));
        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    private async Task RecoverAsync(string version, bool preempt, TestAuthority? authority = null)
    {
        var machine = Large(version);
        var source = await StartSourceAsync(
            authority is null ? machine : machine with { Extra = Secured(version, machine.Machine, authority.Folder).Extra });
        var receive = await BeginAsync(source, preempt, channels: 0, authority);
        await PauseAsync(source, receive);

        await source.ResumeMigrationAsync(receive.Uri, Token);

        var result = await FinishAsync(source, receive);
        Assert.Equal(1, result.GetProperty("postcopy").GetProperty("recoveries").GetInt32());
        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }

    private async Task InterruptAsync(string version)
    {
        var source = await StartSourceAsync(Large(version));
        var receive = await BeginAsync(source, preempt: false, channels: 0, Options(preempt: false));
        await PauseAsync(source, receive);

        receive.Interrupt(); // nothing but the end of the stream brings the guest back
        await receive.WaitForStopAsync(Token); // a source that came before that might complete
        await source.ResumeMigrationAsync(receive.Uri, Token);

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 130, result.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
        await source.WaitForMigrationAsync("failed", Token);
        if (version == "7.2")
        {
            await source.ContinueGuestAsync(Token); // this one waits to be told
        }

        await RunsOnAtSourceAsync(source);
    }

    /// <summary>Large enough that there is time to cut it off.</summary>
    private static QemuOptions Large(string version) => Newest(version) with { MemoryMiB = 512 };

    /// <summary>Cuts the link when the guest's devices have arrived and its pages are on their way.</summary>
    private static async Task PauseAsync(QemuProcess source, ReceiveProcess receive)
    {
        await SwitchAsync(source);
        await source.WaitForStateAsync("postcopy-active", Token);
        // It may say so before its devices have arrived; what comes after them is asked for.
        await source.WaitForCounterAsync("ram", "postcopy-requests", 1, Token);
        await source.ExecuteOutOfBandAsync("migrate-pause", null, Token);
        await source.WaitForStateAsync("postcopy-paused", Token);
        await receive.WaitForPauseAsync(Token);
    }

    private async Task<JsonElement> CaptureAsync(QemuProcess source, bool preempt, int channels = 0, TestAuthority? authority = null)
    {
        var receive = await BeginAsync(source, preempt, channels, authority);
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

    private Task<ReceiveProcess> BeginAsync(QemuProcess source, bool preempt, int channels, TestAuthority? authority)
    {
        var options = Options(preempt);
        return authority is null
            ? BeginAsync(source, preempt, channels, options)
            : BeginAsync(
                source, preempt, channels, options with { Extra = [.. options.Extra, "--tls-dir", authority.Folder] }, credentials: "tls0");
    }

    private async Task<ReceiveProcess> BeginAsync(
        QemuProcess source, bool preempt, int channels, ReceiveOptions options, string? credentials = null)
    {
        var receive = await StartAsync(options with { Channels = channels });
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Channels = channels,
                MaxBandwidth = Slow,
                Capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"],
                Parameters = [("max-postcopy-bandwidth", Slow), .. credentials is null ? [] : Tls(credentials)],
            },
            Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        return receive;
    }

    private static (string Name, JsonNode Value)[] Tls(string credentials) => [("tls-creds", credentials)];

    private static async Task SwitchAsync(QemuProcess source)
    {
        await source.WaitForCounterAsync("ram", "transferred", 4 << 20, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);
    }
}
