using DataPlane.QemuPair;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>`dataplane guard`.</summary>
internal sealed class GuardFront(WorkFolder work) : IFront
{
    private GuardProcess? _guard;

    public double CpuSeconds => _guard is { } guard ? ProcessUsage.CpuSeconds(guard.ProcessId) : 0;

    public async Task<string> StartAsync(QemuProcess destination, CancellationToken token)
    {
        _guard = await GuardProcess.StartAsync(new GuardOptions { Monitor = destination.SecondMonitor }, work, token);
        return _guard.Uri;
    }

    public ValueTask DisposeAsync() => _guard?.DisposeAsync() ?? ValueTask.CompletedTask;
}
