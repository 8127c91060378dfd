using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>
/// Every QEMU and machine type x {no multifd, 2, 8 channels} x {guest paused, guest dirtying}: the file holds the guest's memory to the
/// byte,
/// and the guest runs on from it in every QEMU that has the machine type.
/// </summary>
public sealed class ReceiveMatrixTests : ReceiveTest
{
    private static readonly (string Version, string Machine)[] s_sources =
    [
        ("7.2", "pc-q35-7.2"),
        ("10.0", "pc-q35-7.2"),
        ("10.0", "pc-q35-10.0"),
        ("11.1", "pc-q35-7.2"),
        ("11.1", "pc-q35-10.0"),
        ("11.1", "pc-q35-11.1"),
    ];

    public static TheoryData<string, string, int, bool> Cases => new(
        from source in s_sources
        from channels in (int[])[0, 2, 8]
        from paused in (bool[])[true, false]
        select new TheoryDataRow<string, string, int, bool>(source.Version, source.Machine, channels, paused));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_arrives_with_every_byte_and_runs_on(string version, string machine, int channels, bool paused)
    {
        var source = await StartSourceAsync(new QemuOptions { Version = QemuVersion.Parse(version), Machine = machine });
        if (paused)
        {
            await source.StopGuestAsync(Token);
        }

        // The return path is the rule for guests that run; tests of its own turn it round.
        var migration = await CaptureAsync(source, new MigrationSettings { Channels = channels, ReturnPath = !paused });

        // A guest that dirties its memory needs more than one round.
        Assert.True(paused || migration.GetProperty("ram").GetProperty("dirty-sync-count").GetInt64() > 1);
        await RunsOnAsync(source, paused, machine == "pc-q35-11.1" ? [QemuVersion.V111] : [QemuVersion.V100, QemuVersion.V111]);
    }
}
