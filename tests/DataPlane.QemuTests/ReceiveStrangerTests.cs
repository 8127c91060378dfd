using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>A capture by postcopy to a port that strangers find at every moment, its link lost and the source come again.</summary>
public sealed class ReceiveStrangerTests : ReceiveTest
{
    private const long Slow = 12 << 20;
    private static readonly Guid s_uuid = new("00112233-4455-6677-8899-aabbccddeeff");

    [Fact]
    public Task Strangers_about_all_the_time() => CaptureAsync("11.1", "pc-q35-11.1", channels: 0);

    [Theory(Explicit = true)]
    [InlineData("7.2", "pc-q35-7.2", 0)]
    [InlineData("10.0", "pc-q35-7.2", 0)] // opens its preempt channel early, as 7.2 does
    [InlineData("11.1", "pc-q35-11.1", 2)]
    [InlineData("11.1", "pc-q35-7.2", 2)] // QEMU itself hangs as the destination of this one
    public Task Strangers_about_in_other_migrations(string version, string machine, int channels) =>
        CaptureAsync(version, machine, channels);

    /// <summary>There are more silent connections than the command may have files open; those of the migration are set aside.</summary>
    [Fact]
    public Task Strangers_about_where_descriptors_are_few() =>
        CaptureAsync("11.1", "pc-q35-11.1", channels: 2, before: ["prlimit", "--nofile=512:512"], silent: 700);

    private async Task CaptureAsync(string version, string machine, int channels, string[]? before = null, int silent = 0)
    {
        var options = new QemuOptions { Version = QemuVersion.Parse(version), Machine = machine, MemoryMiB = 512, Uuid = s_uuid };
        var source = await StartSourceAsync(options);
        var receive = await StartAsync(new ReceiveOptions
        {
            Out = OutFile,
            Channels = channels,
            Before = before ?? [],
            Extra = ["--postcopy", "--preempt"],
        });
        await using var crowd = new StrangerCrowd(
            int.Parse(receive.Uri[(receive.Uri.LastIndexOf(':') + 1)..], System.Globalization.CultureInfo.InvariantCulture),
            new StrangerTarget(channels, s_uuid, options.MemoryBytes));
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Channels = channels,
                MaxBandwidth = Slow,
                Capabilities = ["postcopy-ram", "postcopy-preempt"],
                Parameters = [("max-postcopy-bandwidth", Slow)],
            },
            Token);

        await crowd.ComeSilentlyAsync(silent, addresses: 50, Token);
        if (channels == 0) // else the first of them would say which VM is expected
        {
            await crowd.ComeAsync(StrangerKinds.BeforeTheSource, Token);
        }

        await source.StartMigrationAsync(receive.Uri, Token);
        await source.WaitForCounterAsync("ram", "transferred", 4 << 20, Token);
        await crowd.ComeAsync(StrangerKinds.All, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);
        await source.WaitForStateAsync("postcopy-active", Token);
        await source.WaitForCounterAsync("ram", "postcopy-requests", 1, Token);
        await source.ExecuteOutOfBandAsync("migrate-pause", null, Token);
        await source.WaitForStateAsync("postcopy-paused", Token);
        await receive.WaitForPauseAsync(Token);
        await crowd.ComeAsync(StrangerKinds.All, Token); // also those who begin to recover: none of them goes on
        await source.ResumeMigrationAsync(receive.Uri, Token);

        await source.WaitForMigrationAsync("completed", Token);
        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(1, result.Json.GetProperty("postcopy").GetProperty("recoveries").GetInt32());
        using var file = MappedRamFile.Open(OutFile);
        Assert.Null(file.FirstDifference(file.Ram, await source.SaveMemoryAsync(Token)));
        await RunsOnAsync(source, paused: false, QemuVersion.V111);
    }
}
