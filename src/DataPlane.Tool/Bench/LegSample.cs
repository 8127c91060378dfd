using System.Net;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;

namespace DataPlane.Tool.Bench;

/// <summary>
/// What one leg of one run measured. <see cref="Seconds"/> means the same on every leg: from the first connect to the commit.
/// </summary>
internal record LegSample
{
    public required double Seconds { get; init; }

    /// <summary>The bytes sent on all channels: memory and headers of a migration, the memory alone for the wire limit.</summary>
    public required long TransferredBytes { get; init; }

    public double BytesPerSecond => TransferredBytes / Seconds;

    /// <summary>The CPU time of the source process during the leg, without what the guest itself used.</summary>
    public required double SourceCpuSeconds { get; init; }

    /// <summary>The CPU time of the destination process during the leg; the session fills it in.</summary>
    public double DestinationCpuSeconds { get; init; }
}

/// <summary>What a migration by precopy measured.</summary>
internal sealed record MigrationSample : LegSample
{
    public required int Rounds { get; init; }

    /// <summary>The time from the guest's pause at the source to the destination's commit.</summary>
    public required double DowntimeSeconds { get; init; }

    public required long NormalPages { get; init; }

    public required long ZeroPages { get; init; }

    /// <summary>The bytes of the normal pages divided by the bytes on the wire; null for a migration without compression.</summary>
    public double? CompressionRatio { get; init; }
}

/// <summary>The address and port to which one leg's data connections go, and their number.</summary>
internal sealed record LegDestination(IPAddress Address, int Port, int Channels);

/// <summary>
/// The source half of one kind of leg. The session has prepared the destination, which accepts the connections; the leg moves the memory
/// and measures. A guest with a dirty rate already runs when the leg is called; a migration pauses the guest, and leaves it paused when it
/// succeeds.
/// </summary>
internal interface IBenchLeg<TSample>
    where TSample : LegSample
{
    /// <summary>The name of the leg in the message <c>prepare</c>; the destination has a leg of the same name.</summary>
    string Name { get; }

    /// <summary>How the leg compresses pages.</summary>
    CompressionMethod Compression => CompressionMethod.None;

    /// <summary>What the guest does at the destination; null where it does nothing there.</summary>
    PostcopyRequest? Postcopy => null;

    /// <summary>Whether even a guest without a dirty rate must run: a leg by postcopy measures the switch of a running guest.</summary>
    bool NeedsRunningGuest => false;

    Task<TSample> RunAsync(LegDestination destination, Workload guest, Action<ProgressSample> report, CancellationToken cancellation);

    /// <summary>Adds to the source's sample what the destination has measured.</summary>
    TSample Complete(TSample sample, ResultMessage result) => sample;
}
