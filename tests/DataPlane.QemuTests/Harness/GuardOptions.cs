namespace DataPlane.QemuTests.Harness;

/// <summary>The command line of `dataplane guard`.</summary>
internal sealed record GuardOptions
{
    /// <summary>QEMU's second monitor; null where <see cref="Extra"/> says --to.</summary>
    public string? Monitor { get; init; }

    public string Listen { get; init; } = "127.0.0.1:0";

    /// <summary>Guards one QEMU after the other, by a configuration file, instead of one migration.</summary>
    public bool AsService { get; init; }

    /// <summary>A command that runs the command.</summary>
    public IReadOnlyList<string> Before { get; init; } = [];

    public IReadOnlyList<string> Extra { get; init; } = [];
}
