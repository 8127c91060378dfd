using DataPlane.Fuzz.Targets;

namespace DataPlane.Fuzz;

/// <summary>All targets by the names that the command line and the folders of the corpus have, in the order of the list.</summary>
/// <remarks>
/// Made when they are needed and not before: instrumented code, which their constructors may call, cannot run until AFL's map is there.
/// </remarks>
internal static class FuzzTargets
{
    public static IReadOnlyList<(string Name, Func<IFuzzTarget> Make)> All { get; } =
    [
        ("wire-main", () => new MainRecords()),
        ("wire-multifd", () => new MultifdRecords()),
        ("wire-postcopy", () => new PostcopyRecords()),
        ("wire-return-path", () => new ReturnPathRecords()),
        ("wire-pages", () => new PageRecords()),
        ("admission", () => new AdmissionTarget()),
        ("mainstream-precopy", () => new MainStreamTarget(postcopy: false)),
        ("mainstream-postcopy", () => new MainStreamTarget(postcopy: true)),
        ("postcopy-pages", () => new PostcopyPagesTarget()),
        ("multifd-plain", () => new MultifdChannelTarget(CompressionMethod.None)),
        ("multifd-zlib", () => new MultifdChannelTarget(CompressionMethod.Zlib)),
        ("multifd-zstd", () => new MultifdChannelTarget(CompressionMethod.Zstd)),
        ("device-state", () => new DeviceStateTarget()),
        ("return-path-tap", () => new ReturnPathTapTarget()),
        ("mapped-ram", () => new MappedRamTarget()),
        ("tls-records", () => new TlsRecordsTarget()),
        ("qmp", () => new QmpTarget()),
        ("guard-config", () => new GuardConfigTarget()),
        ("control-json", () => new ControlTarget()),
    ];

    public static Func<IFuzzTarget>? Find(string name) => All.FirstOrDefault(target => target.Name == name).Make;
}
