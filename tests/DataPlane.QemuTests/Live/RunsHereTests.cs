using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Live;

/// <summary>
/// The guest of a real QEMU, which dirties its memory up to the switch, goes on in a host of the library: pages come on demand, and what is
/// written here meanwhile stays.
/// </summary>
public sealed class RunsHereTests : LiveDestinationTest
{
    private static readonly RamAllocation s_private = RamAllocation.Default with { HugePages = false };

    public static TheoryData<string, bool> Cases => new(
        from version in QemuVersion.All
        from preempt in (bool[])[false, true]
        select new TheoryDataRow<string, bool>(version.Label, preempt));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Pages_come_on_demand_from_a_real_source(string label, bool preempt)
    {
        var version = QemuVersion.Parse(label);
        var source = await StartSourceAsync(new QemuOptions { Version = version, Machine = version.NewestMachine });

        await ArrivesAsync(source, s_private with { Shared = preempt }, new MigrationDestinationOptions { Preempt = preempt });
    }

    [Theory]
    [InlineData("pc-q35-11.1")]
    [InlineData("pc-q35-8.0")] // its multifd syncs by sections
    public async Task Precopy_on_multifd_and_then_pages_on_demand_with_preempt(string machine)
    {
        var source = await StartSourceAsync(new QemuOptions { Version = QemuVersion.V111, Machine = machine });

        await ArrivesAsync(source, s_private, new MigrationDestinationOptions { Preempt = true, MultifdChannels = 2 });
    }
}
