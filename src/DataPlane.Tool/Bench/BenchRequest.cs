using DataPlane.Migration;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

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

    /// <summary>A migration by postcopy too, in every run.</summary>
    public bool Postcopy { get; init; }

    /// <summary>That with a preempt channel.</summary>
    public bool Preempt { get; init; }

    /// <summary>Memory that the guest touches per second while it comes.</summary>
    public long TouchBytesPerSecond { get; init; }

    /// <summary>Threads that touch it.</summary>
    public int TouchThreads { get; init; }

    /// <summary>Most that a migration sends per second; pages that the guest waits for do not count.</summary>
    public long? MaxBytesPerSecond { get; init; }

    /// <summary>Puts the migration, not the wire limit beside it, inside TLS.</summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>Name in the destination's certificate.</summary>
    public string? TlsHostName { get; init; }

    /// <summary>Socket options of both legs alike.</summary>
    public ChannelOptions ChannelOptions { get; init; } = new();

    /// <summary>How a migration is made.</summary>
    public MigrationSourceOptions SourceOptions(int channels) => new()
    {
        MultifdChannels = channels,
        Compression = Compression.Method,
        CompressionLevel = Compression.Level,
        MaxDowntime = MaxDowntime,
        MaxBytesPerSecond = MaxBytesPerSecond,
        MaxPostcopyBytesPerSecond = MaxBytesPerSecond,
        Channels = ChannelOptions,
        Tls = Tls,
        TlsHostName = TlsHostName,
    };
}
