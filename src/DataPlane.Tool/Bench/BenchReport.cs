using DataPlane.Tool.Output;

namespace DataPlane.Tool.Bench;

/// <summary>Writes the results of a bench for a person: one line per run, then the summary.</summary>
internal static class BenchReport
{
    public static void Write(TextWriter output, BenchDocument document, BenchRequest request, bool isInterrupted)
    {
        var guest = request.Guest;
        var dirty = guest.DirtyBytesPerSecond == 0 ? "guest idle" : $"guest dirties {Human.Bytes(guest.DirtyBytesPerSecond)}/s";
        output.WriteLine($"{Human.Bytes(guest.RamBytes)}, {request.Channels} channels, {dirty}, {guest.ZeroPercent}% zero pages");
        output.WriteLine();
        output.WriteLine($"{"run",3}  {"time",10}  {"migration",10}  {"rounds",6}  {"downtime",10}  {"wire limit",10}  {"efficiency",10}");
        for (var i = 0; i < document.Runs.Count; i++)
        {
            WriteRun(output, i + 1, document.Runs[i]);
        }

        if (document.Runs.Any(static run => run.Postcopy is not null))
        {
            BenchPostcopyReport.Write(output, document.Runs);
        }

        if (document.Summary is not { } summary)
        {
            return;
        }

        output.WriteLine();
        if (summary.Efficiency is { } efficiency)
        {
            output.WriteLine(
                $"efficiency   median {Human.Number(efficiency.Median, 3)}, "
                + $"{Human.Number(efficiency.Min, 3)} to {Human.Number(efficiency.Max, 3)}");
        }

        WriteRate(output, "migration", summary.MigrationBytesPerSecond);
        WriteRate(output, "wire limit", summary.WireLimitBytesPerSecond);
        if (summary.DowntimeSeconds is { } downtime)
        {
            output.WriteLine(
                $"downtime     median {Human.Seconds(downtime.Median)}, {Human.Seconds(downtime.Min)} to {Human.Seconds(downtime.Max)}");
        }

        BenchPostcopyReport.WriteSummary(output, summary.Postcopy);
        WritePages(output, document.Runs);
        WriteCpu(output, "source", summary.SourceCpuSecondsPerGib);
        WriteCpu(output, "destination", summary.DestinationCpuSecondsPerGib);
        output.WriteLine($"verified     {Verdict(summary, document.Runs.Count, request.Runs, isInterrupted)}");
    }

    // Every run in the table of an interrupted bench has been compared: a run that differs ends the bench by itself.
    private static string Verdict(BenchSummary summary, int done, int planned, bool isInterrupted) =>
        summary.Verified ? "every byte, every run"
        : isInterrupted && done < planned ? $"every byte of the {done} finished runs (of {planned}, interrupted)"
        : "NO";

    private static void WriteRun(TextWriter output, int number, RunEntry run)
    {
        var migration = run.Migration;
        var time = Human.Seconds(migration?.Seconds ?? run.WireLimit.Seconds);
        var rate = migration is null ? "-" : Human.Rate(migration.BytesPerSecond);
        var rounds = migration is null ? "-" : Human.Count(migration.Rounds);
        var downtime = migration is null ? "-" : Human.Seconds(migration.DowntimeSeconds);
        var efficiency = run.Efficiency is { } value ? Human.Number(value, 3) : "-";
        output.WriteLine(
            $"{number,3}  {time,10}  {rate,10}  {rounds,6}  {downtime,10}  {Human.Rate(run.WireLimit.BytesPerSecond),10}  {efficiency,10}");
    }

    private static void WriteRate(TextWriter output, string name, Statistic? rate)
    {
        if (rate is not null)
        {
            output.WriteLine($"{name,-12} median {Human.Rate(rate.Median)}, {Human.Rate(rate.Min)} to {Human.Rate(rate.Max)}");
        }
    }

    private static void WritePages(TextWriter output, IList<RunEntry> runs)
    {
        if (runs.Count > 0 && runs[^1].Migration is { } last)
        {
            output.WriteLine($"pages        {Human.Count(last.NormalPages)} normal, {Human.Count(last.ZeroPages)} zero (last run)");
        }

        if (runs.Count > 0 && runs[^1].Migration?.CompressionRatio is { } ratio)
        {
            output.WriteLine($"compression  {Human.Number(ratio, 2)} bytes of pages per byte on the wire (last run)");
        }
    }

    private static void WriteCpu(TextWriter output, string side, CpuSummary? cpu)
    {
        if (cpu is not null)
        {
            output.WriteLine($"{side,-12} {Human.Number(cpu.Migration, 3)} CPU s per GiB, wire limit {Human.Number(cpu.WireLimit, 3)}");
        }
    }
}
