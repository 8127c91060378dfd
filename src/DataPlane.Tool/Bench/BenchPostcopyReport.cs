using DataPlane.Tool.Output;

namespace DataPlane.Tool.Bench;

/// <summary>Writes the results of the migrations by postcopy for a person.</summary>
internal static class BenchPostcopyReport
{
    public static void Write(TextWriter output, IList<RunEntry> runs)
    {
        output.WriteLine();
        output.WriteLine($"{"postcopy",8}  {"time",10}  {"to precopy",10}  {"downtime",10}  {"faults",8}  {"p50",10}  {"p99",10}  "
            + $"{"p99.9",10}  {"requests",8}  {"asked for",9}  {"checked",9}");
        for (var i = 0; i < runs.Count; i++)
        {
            if (runs[i] is { Postcopy: { } run, PostcopyTimeRatio: { } ratio })
            {
                Write(output, i + 1, run, ratio);
            }
        }
    }

    public static void WriteSummary(TextWriter output, PostcopySummary? summary)
    {
        if (summary is null)
        {
            return;
        }

        output.WriteLine($"postcopy     median {Human.Seconds(summary.Seconds.Median)}, {Human.Number(summary.TimeRatio.Median, 2)} times "
            + $"precopy; downtime {Human.Seconds(summary.DowntimeSeconds.Median)}, {Human.Seconds(summary.DowntimeSeconds.Min)} to "
            + $"{Human.Seconds(summary.DowntimeSeconds.Max)}; the guest starts {Human.Seconds(summary.StartDelaySeconds.Median)} after its "
            + "devices have come");
        if (summary is { FaultP50Seconds: { } p50, FaultP99Seconds: { } p99, FaultP999Seconds: { } p999 })
        {
            output.WriteLine($"faults       median p50 {Human.Seconds(p50.Median)}, p99 {Human.Seconds(p99.Median)}, "
                + $"p99.9 {Human.Seconds(p999.Median)}");
        }

        output.WriteLine($"checked      {Human.Count(summary.CheckedPages)} pages, by the guest while its memory came");
    }

    private static void Write(TextWriter output, int number, PostcopySample run, double ratio)
    {
        var touches = run.Touches;
        var faults = touches?.FaultSeconds;
        output.WriteLine(
            $"{number,8}  {Human.Seconds(run.Seconds),10}  {Human.Number(ratio, 2),10}  {Human.Seconds(run.DowntimeSeconds),10}  "
            + $"{Human.Count(touches?.Faults ?? 0),8}  {Show(faults?.P50),10}  {Show(faults?.P99),10}  {Show(faults?.P999),10}  "
            + $"{Human.Count(run.Requests),8}  {Human.Count(run.RequestedPages),9}  {Human.Count(touches?.CheckedPages ?? 0),9}");
    }

    private static string Show(double? seconds) => seconds is { } known ? Human.Seconds(known) : "-";
}
