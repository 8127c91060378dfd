using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>What stands between source and destination.</summary>
internal interface IFront : IAsyncDisposable
{
    /// <summary>Makes the destination listen, and itself before it.</summary>
    /// <returns>Where the source migrates to.</returns>
    Task<string> StartAsync(QemuProcess destination, CancellationToken token);

    /// <summary>User and system time so far, with that of children that have ended.</summary>
    double CpuSeconds { get; }
}
