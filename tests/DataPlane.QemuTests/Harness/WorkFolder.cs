namespace DataPlane.QemuTests.Harness;

/// <summary>A folder of one test in the place that QEMUs see too. Gone with the test, unless DATAPLANE_QEMU_KEEP is set.</summary>
internal sealed class WorkFolder : IDisposable
{
    public WorkFolder() => Directory.CreateDirectory(Root);

    // Short: a Unix socket's path holds 107 characters at most.
    public string Root { get; } = Path.Combine(QemuInstallation.Shared, Guid.NewGuid().ToString("N")[..12]);

    public string this[string name] => Path.Combine(Root, name);

    public string NewFolder(string name) => Directory.CreateDirectory(this[name]).FullName;

    public void Dispose()
    {
        if (Environment.GetEnvironmentVariable("DATAPLANE_QEMU_KEEP") is not { Length: > 0 })
        {
            Directory.Delete(Root, recursive: true);
        }
    }
}
