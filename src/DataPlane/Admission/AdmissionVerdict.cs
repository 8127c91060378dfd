namespace DataPlane.Admission;

/// <summary>What the rules say of a connection's bytes so far: admitted as a kind, refused for a reason, or neither yet.</summary>
internal readonly record struct AdmissionVerdict(ChannelKind? Admitted, RefusalReason? Refused)
{
    internal static AdmissionVerdict Undecided => default;

    internal static AdmissionVerdict Admit(ChannelKind kind) => new(kind, null);

    internal static AdmissionVerdict Refuse(RefusalReason reason) => new(null, reason);

    internal bool IsUndecided => Admitted is null && Refused is null;
}
