using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace DataPlane.Admission;

/// <summary>
/// Counts what admission has done, for the properties of <see cref="ChannelAdmission"/> and for the metrics of the meter
/// "DataPlane.Admission". Only the admission thread counts; any thread may read.
/// </summary>
internal sealed class AdmissionCounters
{
    public const string MeterName = "DataPlane.Admission";

    private static readonly Meter s_meter = new(MeterName);
    private static readonly Counter<long> s_admitted =
        s_meter.CreateCounter<long>("dataplane.admission.admitted", "{channel}", "Connections that became channels, by kind");

    private static readonly Counter<long> s_refused =
        s_meter.CreateCounter<long>("dataplane.admission.refused", "{connection}", "Connections that were refused, by reason");

    private static readonly UpDownCounter<long> s_undecided =
        s_meter.CreateUpDownCounter<long>("dataplane.admission.undecided", "{connection}", "Connections that are not decided yet");

    private static readonly Histogram<double> s_decision =
        s_meter.CreateHistogram<double>("dataplane.admission.decision", "s", "Time from the deciding byte to the admission, by kind");

    private readonly long[] _refused = new long[Enum.GetValues<RefusalReason>().Length];
    private long _admitted;
    private int _undecided;

    public long Admitted => Volatile.Read(ref _admitted);

    public int Undecided => Volatile.Read(ref _undecided);

    public IReadOnlyDictionary<RefusalReason, long> Refused =>
        Enum.GetValues<RefusalReason>().ToDictionary(reason => reason, reason => Volatile.Read(ref _refused[(int)reason]));

    public void Arrived(int undecided)
    {
        s_undecided.Add(1);
        Volatile.Write(ref _undecided, undecided);
    }

    public void Admit(ChannelKind kind, TimeSpan decision, int undecided)
    {
        s_undecided.Add(-1);
        TagList tags = new() { { "kind", kind.ToString() } };
        s_admitted.Add(1, tags);
        s_decision.Record(decision.TotalSeconds, tags);
        Volatile.Write(ref _undecided, undecided);
        Volatile.Write(ref _admitted, _admitted + 1);
    }

    public void Refuse(RefusalReason reason, int undecided)
    {
        s_undecided.Add(-1);
        Volatile.Write(ref _undecided, undecided);
        RefuseAdmitted(reason);
    }

    /// <summary>Counts a refusal of something that had been admitted and is not undecided any more.</summary>
    public void RefuseAdmitted(RefusalReason reason)
    {
        s_refused.Add(1, new TagList { { "reason", reason.ToString() } });
        Volatile.Write(ref _refused[(int)reason], _refused[(int)reason] + 1);
    }
}
