namespace DataPlane.PostcopyPair;

/// <summary>Page faults between two of ours: a thread touches pages at random, as fast as they come.</summary>
internal sealed class OurFaultLeg : IDisposable
{
    public const string Leg = "dataplane";

    private readonly Dictionary<int, SourceGuest> _guests = [];

    public async Task<FaultSample> RunAsync(FaultCase about, int run, CancellationToken token)
    {
        if (!_guests.TryGetValue(about.RamMiB, out var guest))
        {
            _guests[about.RamMiB] = guest = new SourceGuest((long)about.RamMiB << 20);
        }

        using var incoming = new ArrivingGuest(
            RamAllocation.Default with { HugePages = false, HostPageSize = about.PageBytes, Shared = about.IsHuge }, touches: true);
        var report = await LiveMove.RunAsync(
            guest,
            incoming,
            new MigrationSourceOptions
            {
                Postcopy = true,
                Preempt = about.Preempt,
                MaxPostcopyBytesPerSecond = about.BackgroundLimit,
                HostPageSizes = new Dictionary<string, long> { ["pc.ram"] = about.PageBytes },
            },
            token);
        return FaultSample.From(Leg, run, about, incoming.Waits) with
        {
            Details = new() { ["requests"] = report.Postcopy!.Requests, ["seconds"] = report.Duration.TotalSeconds },
        };
    }

    public void Dispose()
    {
        foreach (var guest in _guests.Values)
        {
            guest.Dispose();
        }
    }
}
