using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>A source whose parameters are none of the defaults, as far as they are a matter of its own.</summary>
public sealed class ParameterTests : ReceiveTest
{
    private static readonly (string Name, JsonNode Value, string From, string Until)[] s_parameters =
    [
        ("announce-initial", 10, "7.2", "11.1"),
        ("announce-max", 100, "7.2", "11.1"),
        ("announce-rounds", 3, "7.2", "11.1"),
        ("announce-step", 20, "7.2", "11.1"),
        ("compress-level", 9, "7.2", "7.2"),
        ("compress-threads", 2, "7.2", "7.2"),
        ("compress-wait-thread", false, "7.2", "7.2"),
        ("decompress-threads", 3, "7.2", "7.2"),
        ("throttle-trigger-threshold", 20, "7.2", "11.1"),
        ("cpu-throttle-initial", 10, "7.2", "11.1"),
        ("cpu-throttle-increment", 5, "7.2", "11.1"),
        ("cpu-throttle-tailslow", true, "7.2", "11.1"),
        ("max-cpu-throttle", 50, "7.2", "11.1"),
        ("downtime-limit", 2000, "7.2", "11.1"),
        ("avail-switchover-bandwidth", 1 << 30, "10.0", "11.1"),
        ("x-checkpoint-delay", 1000, "7.2", "11.1"),
        ("block-incremental", true, "7.2", "7.2"),
        ("xbzrle-cache-size", 8 << 20, "7.2", "11.1"),
        ("max-postcopy-bandwidth", 1 << 30, "7.2", "11.1"),
        ("multifd-zlib-level", 9, "7.2", "11.1"),
        ("multifd-zstd-level", 3, "7.2", "11.1"),
        ("multifd-qatzip-level", 2, "10.0", "11.1"),
        ("x-vcpu-dirty-limit-period", 500, "10.0", "11.1"),
        ("vcpu-dirty-limit", 10, "10.0", "11.1"),
        ("direct-io", true, "10.0", "11.1"),
        ("x-rdma-chunk-size", 2 << 20, "11.1", "11.1"),
    ];

    public static TheoryData<string, int> Versions => new(
        from version in QemuVersion.All from channels in (int[])[0, 2] select new TheoryDataRow<string, int>(version.Label, channels));

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_guest_arrives_whatever_its_source_keeps_to_itself(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version));
        var settings = new MigrationSettings
        {
            Channels = channels,
            ReturnPath = true,
            Parameters = [.. Of(QemuVersion.Parse(version)).Where(entry => entry.Name != "direct-io" || channels > 0)],
        };

        await CaptureAsync(source, settings);

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    private static IEnumerable<(string Name, JsonNode Value)> Of(QemuVersion version) =>
        from parameter in s_parameters
        where QemuVersion.Parse(parameter.From).IsUpTo(version) && version.IsUpTo(QemuVersion.Parse(parameter.Until))
        select (parameter.Name, parameter.Value);
}
