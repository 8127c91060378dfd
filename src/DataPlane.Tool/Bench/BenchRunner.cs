using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Bench;

/// <summary>
/// Runs a bench: a warm-up, the calibration that chooses the wire limit, then pairs of migration and wire limit in alternating order, so
/// that a drift of the machine affects both alike. A migration by postcopy runs between the two. All legs of a run have the same memory,
/// number of connections and running guest.
/// </summary>
internal sealed class BenchRunner(BenchPlan plan, BenchSession session, Workload guest, BenchDocument document, CommandContext context)
{
    private const int CalibrationRounds = 3;

    private string? _digest;

    /// <exception cref="CommandException">A leg failed, or a byte at the destination is wrong.</exception>
    public async Task RunAsync()
    {
        var verified = true;
        try
        {
            await WarmUpAsync().ConfigureAwait(false);
            var wire = await CalibrateAsync().ConfigureAwait(false);
            document.WireVariant = wire.Variant;
            for (var run = 1; run <= plan.Runs; run++)
            {
                (var entry, verified) = await RunPairAsync(run, wire).ConfigureAwait(false);
                document.Runs.Add(entry);
                if (!verified)
                {
                    throw new CommandException($"run {run}: the destination's memory differs from the source's after the migration");
                }
            }
        }
        finally
        {
            document.Summary = BenchSummaries.Of(document.Runs, verified && document.Runs.Count == plan.Runs);
        }
    }

    // The first migration of a process compiles code; the first pass over memory fills page tables.
    private async Task WarmUpAsync()
    {
        foreach (var leg in plan.WireLegs)
        {
            await RunWireAsync("warm-up", leg).ConfigureAwait(false);
        }

        if (plan.Migration is { } migration)
        {
            await RunLegAsync("warm-up, migration", migration).ConfigureAwait(false);
        }

        if (plan.Postcopy is { } postcopy)
        {
            await RunLegAsync("warm-up, postcopy", postcopy).ConfigureAwait(false);
        }
    }

    private async Task<WireLeg> CalibrateAsync()
    {
        for (var round = 0; round < CalibrationRounds; round++)
        {
            var order = round % 2 == 0 ? plan.WireLegs : plan.WireLegs.Reverse();
            foreach (var leg in order)
            {
                var sample = await RunWireAsync("calibration", leg).ConfigureAwait(false);
                document.WireCalibration.Add(WireLimitEntry.From(leg.Variant, sample));
            }
        }

        return plan.WireLegs.MaxBy(leg => MedianRate(leg.Variant))!;
    }

    private double MedianRate(WireVariant variant) =>
        Statistic.Of(document.WireCalibration.Where(entry => entry.Variant == variant).Select(entry => entry.BytesPerSecond))!.Median;

    private async Task<(RunEntry Entry, bool Verified)> RunPairAsync(int run, WireLeg wireLeg)
    {
        var stage = $"run {run} of {plan.Runs}";
        if (plan.Migration is not { } migrationLeg)
        {
            var only = await RunWireAsync(stage, wireLeg).ConfigureAwait(false);
            var same = await VerifyAsync(stage).ConfigureAwait(false);
            return (new RunEntry { WireLimit = WireLimitEntry.From(wireLeg.Variant, only) }, same);
        }

        var isForward = run % 2 != 0;
        var wire = isForward ? null : await RunWireAsync(stage, wireLeg).ConfigureAwait(false);
        (var postcopy, var verified) = isForward ? (null, true) : await RunPostcopyAsync(stage).ConfigureAwait(false);
        var migration = await RunLegAsync($"{stage}, migration", migrationLeg).ConfigureAwait(false);
        verified = verified && await VerifyAsync(stage).ConfigureAwait(false);
        if (isForward && verified)
        {
            (postcopy, verified) = await RunPostcopyAsync(stage).ConfigureAwait(false);
        }

        wire ??= await RunWireAsync(stage, wireLeg).ConfigureAwait(false);
        var entry = new RunEntry
        {
            Migration = migration,
            Postcopy = postcopy,
            WireLimit = WireLimitEntry.From(wireLeg.Variant, wire),
        };
        return (entry, verified);
    }

    private async Task<(PostcopySample? Sample, bool Verified)> RunPostcopyAsync(string stage)
    {
        if (plan.Postcopy is not { } leg)
        {
            return (null, true);
        }

        var sample = await RunLegAsync($"{stage}, postcopy", leg).ConfigureAwait(false);
        return (sample, await VerifyAsync(stage).ConfigureAwait(false));
    }

    private Task<LegSample> RunWireAsync(string stage, WireLeg leg) =>
        RunLegAsync($"{stage}, wire limit by {(leg.Variant == WireVariant.Cursor ? "cursor" : "partition")}", leg);

    private async Task<TSample> RunLegAsync<TSample>(string stage, IBenchLeg<TSample> leg)
        where TSample : LegSample
    {
        context.Stop.ThrowIfCancellationRequested();
        context.Progress.Report(new ProgressSample { Stage = stage, TotalBytes = guest.Block.Length });
        if (!plan.GuestIsIdle || leg.NeedsRunningGuest)
        {
            guest.Resume();
        }

        try
        {
            return await session.RunAsync(
                leg, guest, plan.Channels,
                sample => context.Progress.Report(sample with { Stage = sample.IsWaiting ? $"{stage}, {sample.Stage}" : stage }),
                context.Stop)
                    .ConfigureAwait(false);
        }
        finally
        {
            guest.Pause();
        }
    }

    private async Task<bool> VerifyAsync(string stage)
    {
        context.Progress.Report(new ProgressSample { Stage = $"{stage}, comparing every byte" });
        if (plan.GuestIsIdle)
        {
            _digest ??= MemoryDigest.Compute(guest.Block);
        }

        return await session.VerifyAsync(guest, _digest, context.Stop).ConfigureAwait(false);
    }
}

/// <summary>The plan of a bench: what it measures, and how often.</summary>
internal sealed record BenchPlan
{
    public required int Runs { get; init; }

    /// <summary>The number of data connections of the wire limit, and of multifd channels of the migration.</summary>
    public required int Channels { get; init; }

    /// <summary>Whether the guest writes nothing, so that its memory is the same in all runs.</summary>
    public required bool GuestIsIdle { get; init; }

    public required IReadOnlyList<WireLeg> WireLegs { get; init; }

    /// <summary>
    /// The leg of the migration; null to measure the wire limit alone. The guest is idle then, since a plain send of memory that changes
    /// leaves the two sides unequal.
    /// </summary>
    public required IBenchLeg<MigrationSample>? Migration { get; init; }

    /// <summary>The leg that migrates the same guest by postcopy; null without --postcopy.</summary>
    public IBenchLeg<PostcopySample>? Postcopy { get; init; }
}
