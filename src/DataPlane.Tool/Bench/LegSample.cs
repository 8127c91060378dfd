using System.Net;
using DataPlane.Multifd.Compression;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;

namespace DataPlane.Tool.Bench;

/// <summary>
/// What one leg of one run measured. <see cref="Seconds"/> means the same on every leg: from the first connect to the commit.
/// </summary>
internal record LegSample
{
    public required double Seconds { get; init; }

    /// <summary>Bytes of guest memory and headers sent on all channels.</summary>
    public required long TransferredBytes { get; init; }

    public double BytesPerSecond => TransferredBytes / Seconds;

    /// <summary>CPU time of the source process during the leg, without what the guest itself used.</summary>
    public required double SourceCpuSeconds { get; init; }

    /// <summary>CPU time of the destination process during the leg; the session fills it in.</summary>
    public double DestinationCpuSeconds { get; init; }
}

/// <summary>What a migration measured beyond that.</summary>
internal sealed record MigrationSample : LegSample
{
    public required int Rounds { get; init; }

    /// <summary>From the guest's pause at the source to the commit of the destination.</summary>
    public required double DowntimeSeconds { get; init; }

    public required long NormalPages { get; init; }

    public required long ZeroPages { get; init; }

    /// <summary>Bytes of the normal pages over the bytes on the wire; only of compressed migrations.</summary>
    public double? CompressionRatio { get; init; }
}

/// <summary>Where the data connections of one leg go.</summary>
internal sealed record LegDestination(IPAddress Address, int Port, int Channels);

/// <summary>
/// The source half of one kind of leg. The session has prepared the destination and accepts the connections; the leg moves the memory and
/// measures. A guest with a dirty rate runs when it is called; a migration pauses it, and leaves it paused when it succeeds.
/// </summary>
internal interface IBenchLeg<TSample>
    where TSample : LegSample
{
    /// <summary>As named in <c>prepare</c>; the destination has a leg of the same name.</summary>
    string Name { get; }

    /// <summary>How pages are compressed.</summary>
    CompressionMethod Compression => CompressionMethod.None;

    /// <summary>What the guest does at the destination; null where it does nothing there.</summary>
    PostcopyRequest? Postcopy => null;

    /// <summary>A guest without a dirty rate has to be running too: it is the switch that is measured.</summary>
    bool NeedsRunningGuest => false;

    Task<TSample> RunAsync(LegDestination destination, Workload guest, Action<ProgressSample> report, CancellationToken cancellation);

    /// <summary>Adds what the destination has measured.</summary>
    TSample Complete(TSample sample, ResultMessage result) => sample;
}
