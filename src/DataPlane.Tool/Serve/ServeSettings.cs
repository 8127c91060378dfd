namespace DataPlane.Tool.Serve;

/// <summary>The limits of a serve process: no request of a client goes beyond them.</summary>
internal sealed record ServeSettings
{
    /// <summary>The port of <c>bench --to HOST</c> without a port.</summary>
    public const int DefaultPort = 4460;

    /// <summary>The most memory that a session may have, in bytes.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>The default of <c>--idle-timeout</c>.</summary>
    public static readonly TimeSpan DefaultIdleTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Bytes that the slowest machine fills, hashes or compares per second. The time for that does not count as silence.</summary>
    private const long SlowestMemoryBytesPerSecond = 256L << 20;

    /// <summary>
    /// The longest time in which a client sends nothing and no byte of a leg moves. The time in which either side works on its memory comes
    /// on top, see <see cref="SilenceFor"/>.
    /// </summary>
    public TimeSpan IdleTimeout { get; init; } = DefaultIdleTimeout;

    /// <summary>The longest wait for the hello of a new connection.</summary>
    public TimeSpan HelloTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The longest silence in a session about <paramref name="ramBytes"/> of memory.</summary>
    public TimeSpan SilenceFor(long ramBytes) =>
        IdleTimeout + TimeSpan.FromSeconds((double)Math.Clamp(ramBytes, 0, MaxRamBytes) / SlowestMemoryBytesPerSecond);
}
