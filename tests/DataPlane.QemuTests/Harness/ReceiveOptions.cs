namespace DataPlane.QemuTests.Harness;

/// <summary>The command line of `dataplane receive`.</summary>
internal sealed record ReceiveOptions
{
    public required string Out { get; init; }

    public int Channels { get; init; }

    public string Listen { get; init; } = "127.0.0.1:0";

    /// <summary>A command that runs the command.</summary>
    public IReadOnlyList<string> Before { get; init; } = [];

    public IReadOnlyList<string> Extra { get; init; } = [];
}
