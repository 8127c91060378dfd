namespace DataPlane.Tool.Serve;

/// <summary>Limits of a serve process: nothing a client says goes beyond them.</summary>
internal sealed record ServeSettings
{
    /// <summary>Port of <c>bench --to HOST</c> without a port, and of a serve told to listen there.</summary>
    public const int DefaultPort = 4460;

    /// <summary>Most memory that a session may have.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>What <c>--idle-timeout</c> is without being said.</summary>
    public static readonly TimeSpan DefaultIdleTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Memory that the slowest machine fills, hashes or compares per second: time for that is no silence.</summary>
    private const long SlowestMemoryBytesPerSecond = 256L << 20;

    /// <summary>
    /// Longest time in which a client says nothing and no byte of a leg moves. What either side does with its memory meanwhile comes on
    /// top, see <see cref="SilenceFor"/>.
    /// </summary>
    public TimeSpan IdleTimeout { get; init; } = DefaultIdleTimeout;

    /// <summary>Longest wait for the first word of a new connection.</summary>
    public TimeSpan HelloTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest silence in a session about <paramref name="ramBytes"/> of memory.</summary>
    public TimeSpan SilenceFor(long ramBytes) =>
        IdleTimeout + TimeSpan.FromSeconds((double)Math.Clamp(ramBytes, 0, MaxRamBytes) / SlowestMemoryBytesPerSecond);
}
