using System.Diagnostics.Metrics;
using DataPlane.Wire;

namespace DataPlane.Tool.Guard;

/// <summary>The state of the VMs as instruments. They are read when somebody collects, so they cost nothing otherwise.</summary>
internal sealed class GuardMetrics : IDisposable
{
    public const string MeterName = "DataPlane.Tool.Guard";

    private readonly Meter _meter = new(MeterName);
    private readonly Func<IReadOnlyList<VmStatus>> _status;

    public GuardMetrics(Func<IReadOnlyList<VmStatus>> status)
    {
        _status = status;
        _meter.CreateObservableGauge("dataplane.guard.state", States, description: "1 with the state of each VM.");
        _meter.CreateObservableGauge("dataplane.guard.channels", Channels, description: "Channels of the VM's migration.");
        _meter.CreateObservableCounter("dataplane.guard.relayed", Relayed, unit: "By", description: "Bytes relayed; in is towards QEMU.");
        _meter.CreateObservableGauge("dataplane.guard.undecided", Of(static vm => vm.Undecided),
            description: "Connections not known to be a channel.");
        _meter.CreateObservableGauge("dataplane.guard.candidates", Of(static vm => vm.Candidates),
            description: "Of them possible preempt channels.");
        _meter.CreateObservableCounter("dataplane.guard.refused", Refused, description: "Connections turned away.");
        _meter.CreateObservableCounter("dataplane.guard.migrations", Migrations, description: "Migrations that ended.");
    }

    private IEnumerable<Measurement<int>> States() =>
        _status().Select(static vm => new Measurement<int>(1, Tag("vm", vm.Name), Tag("state", vm.State)));

    private Func<IEnumerable<Measurement<int>>> Of(Func<VmStatus, int> value) =>
        () => _status().Select(vm => new Measurement<int>(value(vm), Tag("vm", vm.Name)));

    private IEnumerable<Measurement<int>> Channels() =>
        from vm in _status()
        from kind in vm.Channels.GroupBy(static channel => (channel.Kind, channel.State))
        select new Measurement<int>(kind.Count(), Tag("vm", vm.Name), Tag("kind", kind.Key.Kind), Tag("state", kind.Key.State));

    // The series are per kind and not per channel: 255 channels of many VMs would be too many for the limits of collectors.
    private IEnumerable<Measurement<long>> Relayed() =>
        from vm in _status()
        from kind in vm.Channels.GroupBy(static channel => channel.Kind)
        from way in new[] { ("in", kind.Sum(static channel => channel.InBytes)), ("out", kind.Sum(static channel => channel.OutBytes)) }
        select new Measurement<long>(way.Item2, Tag("vm", vm.Name), Tag("kind", kind.Key), Tag("direction", way.Item1));

    private IEnumerable<Measurement<long>> Refused() =>
        from vm in _status()
        from reason in vm.Refused
        select new Measurement<long>(reason.Value, Tag("vm", vm.Name), Tag("reason", reason.Key));

    private IEnumerable<Measurement<int>> Migrations() =>
        from vm in _status()
        from result in new[] { (VmStatus.StateCompleted, vm.Completed), (VmStatus.StateFailed, vm.Failed) }
        select new Measurement<int>(result.Item2, Tag("vm", vm.Name), Tag("result", result.Item1));

    private static KeyValuePair<string, object?> Tag(string key, string value) => new(key, UntrustedText.Escape(value));

    public void Dispose() => _meter.Dispose();
}
