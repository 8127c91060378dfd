namespace DataPlane.Tool.Serve;

/// <summary>Limits of a serve process: nothing a client says goes beyond them.</summary>
internal sealed record ServeSettings
{
    /// <summary>Port of <c>bench --to HOST</c> without a port, and of a serve told to listen there.</summary>
    public const int DefaultPort = 4460;

    /// <summary>Most memory that a session may have.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>Longest silence of a client between two requests; a bench hashes its memory meanwhile.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Longest wait for the first word of a new connection.</summary>
    public TimeSpan HelloTimeout { get; init; } = TimeSpan.FromSeconds(10);
}
