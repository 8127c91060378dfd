using DataPlane.Multifd.Compression;

namespace DataPlane.Tool.Bench;

/// <summary>The options of a bench as values.</summary>
internal sealed record BenchRequest
{
    public required ChannelAddress? Destination { get; init; }

    public required WorkloadOptions Guest { get; init; }

    public required int Channels { get; init; }

    public CompressionSettings Compression { get; init; }

    public required int Runs { get; init; }

    public required TimeSpan MaxDowntime { get; init; }

    public required bool WireOnly { get; init; }

    /// <summary>Whether every run also migrates the guest by postcopy.</summary>
    public bool Postcopy { get; init; }

    /// <summary>Whether the migration by postcopy has a preempt channel.</summary>
    public bool Preempt { get; init; }

    /// <summary>Bytes of memory that the guest touches per second at the destination while its memory comes.</summary>
    public long TouchBytesPerSecond { get; init; }

    /// <summary>The number of threads with which the guest touches its memory at the destination.</summary>
    public int TouchThreads { get; init; }

    /// <summary>The most bytes that a migration sends per second, without the pages that the guest waits for; null for no limit.</summary>
    public long? MaxBytesPerSecond { get; init; }

    /// <summary>The credentials that put the migration inside TLS; null for none. The wire limit beside it is never inside TLS.</summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>The name that the destination's certificate must carry; null for the host of the destination's address.</summary>
    public string? TlsHostName { get; init; }

    /// <summary>The socket options of the migration and of the wire limit alike.</summary>
    public ChannelOptions ChannelOptions { get; init; } = new();

    /// <summary>Makes the options of the migration's source.</summary>
    public MigrationSourceOptions SourceOptions(int channels) => new()
    {
        MultifdChannels = channels,
        Compression = Compression.Method,
        CompressionLevel = Compression.Level,
        MaxDowntime = MaxDowntime,
        MaxBytesPerSecond = MaxBytesPerSecond,
        MaxPostcopyBytesPerSecond = MaxBytesPerSecond,
        Sockets = ChannelOptions,
        Tls = Tls,
        TlsHostName = TlsHostName,
    };
}
