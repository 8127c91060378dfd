using DataPlane.QemuPair;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>`dataplane guard`, as a service: it is still there when its CPU time is read.</summary>
internal sealed class GuardFront(WorkFolder work) : IFront
{
    private GuardProcess? _guard;

    public double CpuSeconds => _guard is { } guard ? ProcessUsage.CpuSeconds(guard.ProcessId) : 0;

    public async Task<string> StartAsync(QemuProcess destination, CancellationToken token)
    {
        _guard = await GuardProcess.StartAsync(
            new GuardOptions { Monitor = destination.OfferSecondMonitor(), AsService = true }, work, token);
        return _guard.Uri;
    }

    public ValueTask DisposeAsync() => _guard?.DisposeAsync() ?? ValueTask.CompletedTask;
}
