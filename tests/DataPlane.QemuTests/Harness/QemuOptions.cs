namespace DataPlane.QemuTests.Harness;

/// <summary>The virtual machine of one QEMU process. Source and destination of a migration need the same one.</summary>
internal sealed record QemuOptions
{
    public required QemuVersion Version { get; init; }

    public required string Machine { get; init; }

    public int MemoryMiB { get; init; } = 128;

    /// <summary>Which of QEMU's programs: x86_64, aarch64, s390x. The tests' guest runs on x86_64 only; elsewhere nothing runs.</summary>
    public string Architecture { get; init; } = "x86_64";

    public GuestDisk Disk { get; init; } = new();

    /// <summary>-uuid</summary>
    public Guid? Uuid { get; init; }

    /// <summary>Further arguments: devices, mostly.</summary>
    public IReadOnlyList<string> Extra { get; init; } = [];

    /// <summary>Waits for a migration (-incoming defer).</summary>
    public bool Incoming { get; init; }

    /// <summary>Stays stopped when the migration has arrived (-S).</summary>
    public bool StayStopped { get; init; }

    /// <summary>Offers a second monitor, for the guard: see <see cref="QemuProcess.OfferSecondMonitor"/>.</summary>
    public bool SecondMonitor { get; init; }

    public long MemoryBytes => (long)MemoryMiB << 20;

    /// <summary>The same machine in another QEMU, waiting.</summary>
    public QemuOptions IncomingIn(QemuVersion version) => this with { Version = version, Incoming = true };
}
