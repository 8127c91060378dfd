using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>Nothing.</summary>
internal sealed class DirectFront : IFront
{
    public double CpuSeconds => 0;

    public Task<string> StartAsync(QemuProcess destination, CancellationToken token) =>
        destination.StartIncomingAsync("tcp:127.0.0.1:0", token);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
