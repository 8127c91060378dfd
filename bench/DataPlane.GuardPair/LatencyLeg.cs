using System.Globalization;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>How long an urgent page takes, with and without the guard.</summary>
internal sealed class LatencyLeg(int pages, WorkFolder work)
{
    // The first ones find cold code and slow-started connections.
    private const int WarmUp = 2000;

    public async Task<LatencySample> RunAsync(string leg, int run, bool busy, CancellationToken token)
    {
        using var exchange = new PageExchange();
        await using var guard = leg == Fronts.Guard
            ? await GuardProcess.StartAsync(new GuardOptions { Extra = ["--to", $"127.0.0.1:{exchange.Port}", "--preempt"] }, work, token)
            : null;
        var port = guard is null ? exchange.Port : int.Parse(guard.Uri[(guard.Uri.LastIndexOf(':') + 1)..], CultureInfo.InvariantCulture);
        var samples = await Task.Run(() => exchange.Run(port, WarmUp + pages, busy), token).WaitAsync(Patience.Default, token);
        return LatencySample.From(leg, run, busy, samples[WarmUp..]);
    }
}
