namespace DataPlane.QemuTests.Harness;

/// <summary>What tests/qemu/install has put into its cache, and the reason when it could not.</summary>
internal static class QemuInstallation
{
    public static string Cache { get; } =
        Environment.GetEnvironmentVariable("DATAPLANE_QEMU_CACHE") is { Length: > 0 } folder ? folder : "/var/cache/dataplane/qemu";

    /// <summary>The folder that has the same path for the tests and for every QEMU.</summary>
    public static string Shared => Path.Combine(Cache, "shared");

    /// <summary>The script that runs a command in the root of one QEMU.</summary>
    public static string RunScript => Path.Combine(Repository.Root, "tests", "qemu", "run");

    private static string Manifest => Path.Combine(Cache, "manifest");

    /// <summary>Why real QEMUs cannot be run here; null when they can.</summary>
    public static string? WhyNot()
    {
        if (!File.Exists(Manifest))
        {
            // The script writes it beside the manifest, or where everybody may write.
            var reasons = File.Exists(Path.Combine(Cache, "reason"))
                ? [Path.Combine(Cache, "reason")]
                : Directory.GetFiles(Path.GetTempPath(), "dataplane-qemu-*.reason");
            return reasons.Length > 0 ? File.ReadAllText(reasons[0]).Trim() : "real QEMUs are not installed: run tests/qemu/install";
        }

        return Environment.IsPrivilegedProcess ? null : "running the installed QEMUs needs root (chroot and mounts)";
    }

    /// <summary>The full version behind a label, e.g. 10.0.13.</summary>
    public static string FullVersion(QemuVersion version) =>
        File.ReadLines(Manifest).Select(line => line.Split(' ')).Single(fields => fields[0] == version.Label)[1];
}
