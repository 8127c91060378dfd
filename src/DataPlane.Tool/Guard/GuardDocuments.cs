using DataPlane.Tool.Output;

namespace DataPlane.Tool.Guard;

/// <summary>The JSON document of <c>dataplane guard</c>: the VMs as they were at the end.</summary>
internal sealed class GuardDocument() : CommandDocument("dataplane.guard/1")
{
    /// <summary>The path at which <c>guard status</c> could ask the guard; absent without a control socket.</summary>
    public string? Control { get; set; }

    public IReadOnlyList<VmStatus> Vms { get; set; } = [];
}

/// <summary>The JSON document of <c>dataplane guard status</c>.</summary>
internal sealed class GuardStatusDocument() : CommandDocument("dataplane.guard_status/1")
{
    /// <summary>The guards that answered.</summary>
    public IReadOnlyList<GuardEntry> Guards { get; set; } = [];

    /// <summary>The VMs of all guards that answered.</summary>
    public IReadOnlyList<VmStatus> Vms { get; set; } = [];
}

/// <summary>A guard process that answered.</summary>
internal sealed record GuardEntry(string Control, int Pid, string DataplaneVersion);

/// <summary>The answer of a guard to whoever connects to its control socket.</summary>
internal sealed record ControlAnswer
{
    public const string CurrentSchema = "dataplane.guard_control/1";

    public string Schema { get; init; } = CurrentSchema;

    public required string DataplaneVersion { get; init; }

    public required int Pid { get; init; }

    public required IReadOnlyList<VmStatus> Vms { get; init; }
}
