using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>A source, a waiting destination, the guard between them, and those who come to its public port besides.</summary>
internal sealed record GuardedPair(
    GuardConfiguration Configuration, QemuProcess Source, QemuProcess Destination, GuardProcess Guard, StrangerCrowd Crowd)
        : IAsyncDisposable
{
    public Task BeginAsync(CancellationToken token) => Source.StartMigrationAsync(Guard.Uri, token);

    /// <summary>All channels stand and memory is on its way.</summary>
    public Task UnderWayAsync(CancellationToken token) => Source.WaitForCounterAsync("ram", "transferred", 4 << 20, token);

    /// <summary>Enough seen: now as fast as it goes.</summary>
    public Task HurryAsync(CancellationToken token) => Source.ExecuteAsync(
        "migrate-set-parameters", new() { ["max-bandwidth"] = 1L << 40, ["max-postcopy-bandwidth"] = 0 }, token);

    public ValueTask DisposeAsync() => Crowd.DisposeAsync();
}
