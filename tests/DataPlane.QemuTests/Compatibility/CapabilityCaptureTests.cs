using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>A source with a capability that `receive` knows nothing of: the guest arrives as without it.</summary>
public sealed class CapabilityCaptureTests : ReceiveTest
{
    public static TheoryData<string, string, int> InNewest => new(Rows(QemuVersion.V111));

    public static TheoryData<string, string, int> InOlder => new([.. Rows(QemuVersion.V72), .. Rows(QemuVersion.V100)]);

    [Theory]
    [MemberData(nameof(InNewest))]
    public Task A_guest_arrives_from_the_newest_QEMU_with(string version, string capability, int channels) =>
        ArrivesWithAsync(version, capability, channels);

    [Theory(Explicit = true)]
    [MemberData(nameof(InOlder))]
    public Task A_guest_arrives_from_an_older_QEMU_with(string version, string capability, int channels) =>
        ArrivesWithAsync(version, capability, channels);

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_source_that_waits_before_the_switchover_is_waited_for(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var settings = new MigrationSettings { Channels = 2, ReturnPath = true, Capabilities = ["pause-before-switchover"] };

        await CaptureAsync(source, settings, meanwhile: async () =>
        {
            await source.WaitForStateAsync("pre-switchover", Token);
            await source.ExecuteAsync("migrate-continue", new() { ["state"] = "pre-switchover" }, Token);
        });

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    /// <summary>
    /// The capability alone changes the stream's block list, and with shared memory leaves the RAM out of it: it is refused either way.
    /// </summary>
    [Theory]
    [InlineData("7.2", false)]
    [InlineData("7.2", true)]
    [InlineData("10.0", true)]
    [InlineData("11.1", false)]
    [InlineData("11.1", true)]
    public async Task Shared_memory_that_the_source_leaves_out_is_refused(string version, bool shared)
    {
        var source = await StartSourceAsync(shared ? WithSharedMemory(version) : Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile });
        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true, Capabilities = ["x-ignore-shared"] }, Token);

        await source.StartMigrationAsync(receive.Uri, Token);

        await ExpectFailureAsync(receive, "x-ignore-shared");
        await RunsOnAtSourceAsync(source);
    }

    /// <summary>The guest stands still during it, and all of its memory goes over, as long as x-ignore-shared is off.</summary>
    [Theory]
    [InlineData("10.0", false)]
    [InlineData("11.1", false)]
    [InlineData("11.1", true)]
    public async Task Mode_cpr_reboot_sends_the_whole_guest(string version, bool shared)
    {
        var source = await StartSourceAsync(shared ? WithSharedMemory(version) : Newest(version));

        await SaveAsync(source, new MigrationSettings { ReturnPath = true, Parameters = [("mode", "cpr-reboot")] });

        using (var file = MappedRamFile.Open(OutFile))
        {
            AssertSame(file, shared ? "shared" : "pc.ram", await source.SaveMemoryAsync(Token));
        }

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    private static IEnumerable<TheoryDataRow<string, string, int>> Rows(QemuVersion version) =>
        from capability in CapabilityNames.WithoutEffectOnTheWire(version)
        select new TheoryDataRow<string, string, int>(version.Label, capability, capability == "zero-copy-send" ? 2 : 0);

    private async Task ArrivesWithAsync(string version, string capability, int channels)
    {
        var source = await StartSourceAsync(Newest(version));

        await CaptureAsync(source, new MigrationSettings { Channels = channels, ReturnPath = true, Capabilities = [capability] });

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    private static QemuOptions WithSharedMemory(string version) => Newest(version) with
    {
        Extra = ["-object", "memory-backend-memfd,id=shared,size=128M,share=on", "-machine", "memory-backend=shared"],
    };
}
