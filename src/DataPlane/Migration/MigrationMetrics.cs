using System.Diagnostics.Metrics;

namespace DataPlane.Migration;

/// <summary>
/// The instruments of the meter <c>DataPlane.Migration</c>. They are recorded once per migration, so none of them costs anything per
/// packet.
/// </summary>
internal static class MigrationMetrics
{
    private static readonly Meter s_meter = new("DataPlane.Migration");
    private static readonly Counter<long> s_completed = s_meter.CreateCounter<long>("dataplane.migrations.completed", "{migration}");
    private static readonly Counter<long> s_failed = s_meter.CreateCounter<long>("dataplane.migrations.failed", "{migration}");
    private static readonly Counter<long> s_bytes = s_meter.CreateCounter<long>("dataplane.migration.transferred", "By");
    private static readonly Counter<long> s_pages = s_meter.CreateCounter<long>("dataplane.migration.pages", "{page}");
    private static readonly Histogram<double> s_duration = s_meter.CreateHistogram<double>("dataplane.migration.duration", "s");
    private static readonly Histogram<double> s_downtime = s_meter.CreateHistogram<double>("dataplane.migration.downtime", "s");

    public static void Completed(MigrationReport report)
    {
        s_completed.Add(1);
        s_bytes.Add(report.TransferredBytes);
        s_pages.Add(report.NormalPages, new KeyValuePair<string, object?>("kind", "normal"));
        s_pages.Add(report.ZeroPages, new KeyValuePair<string, object?>("kind", "zero"));
        s_duration.Record(report.Duration.TotalSeconds);
        s_downtime.Record(report.Downtime.TotalSeconds);
    }

    public static void Failed(FailureReason reason) => s_failed.Add(1, new KeyValuePair<string, object?>("reason", reason.ToString()));
}
