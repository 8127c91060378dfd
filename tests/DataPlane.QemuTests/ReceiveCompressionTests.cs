using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>
/// Every QEMU x {zlib, zstd} x {default level of a running guest, level 9 of a stopped one}: nobody tells the command how the pages are
/// compressed.
/// </summary>
public sealed class ReceiveCompressionTests : ReceiveTest
{
    private const int Channels = 4;

    public static TheoryData<string, string, string, int?> Cases => new(
        from source in ((string Version, string Machine)[])[("7.2", "pc-q35-7.2"), ("10.0", "pc-q35-10.0"), ("11.1", "pc-q35-10.0")]
        from method in (string[])["zlib", "zstd"]
        from level in (int?[])[null, 9]
        select new TheoryDataRow<string, string, string, int?>(source.Version, source.Machine, method, level));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_compressed_guest_arrives_with_every_byte_and_runs_on(string version, string machine, string method, int? level)
    {
        var paused = level is not null;
        var source = await StartSourceAsync(new QemuOptions { Version = QemuVersion.Parse(version), Machine = machine });
        if (paused)
        {
            await source.StopGuestAsync(Token);
        }

        var migration = await CaptureAsync(source, Compressed(method, level) with { ReturnPath = !paused });

        Assert.True(paused || migration.GetProperty("ram").GetProperty("dirty-sync-count").GetInt64() > 1);
        await RunsOnAsync(source, paused, QemuVersion.V111);
    }

    [Theory]
    [InlineData("zlib", "zstd")]
    [InlineData("zstd", "none")]
    [InlineData("none", "zlib")]
    public async Task Another_method_than_the_one_demanded_is_named(string method, string demanded)
    {
        var source = await StartSourceAsync(new QemuOptions { Version = QemuVersion.V111, Machine = "pc-q35-10.0" });
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = Channels, Extra = ["--compression", demanded] });
        await source.PrepareMigrationAsync(Compressed(method, null), Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await ExpectFailureAsync(receive, $"compressed by {method}, expected is {demanded}");
        await RunsOnAtSourceAsync(source);
    }

    private static MigrationSettings Compressed(string method, int? level)
    {
        List<(string, JsonNode)> parameters = [("multifd-compression", method)];
        if (level is { } given)
        {
            parameters.Add(($"multifd-{method}-level", given));
        }

        return new MigrationSettings { Channels = Channels, Parameters = parameters };
    }
}
