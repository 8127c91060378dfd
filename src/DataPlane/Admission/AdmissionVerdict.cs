namespace DataPlane.Admission;

/// <summary>
/// What the rules decide by the bytes of a connection so far: admitted as a kind, refused for a reason, held because only the host can
/// judge what is there, or none of these yet.
/// </summary>
internal readonly record struct AdmissionVerdict(ChannelKind? Admitted, RefusalReason? Refused, bool IsRecovered, bool IsHeld)
{
    internal static AdmissionVerdict Undecided => default;

    /// <summary>The verdict on a connection that no further byte can decide: the host must know more first.</summary>
    internal static AdmissionVerdict Held => new(null, null, false, true);

    internal bool IsUndecided => Admitted is null && Refused is null && !IsHeld;

    internal static AdmissionVerdict Admit(ChannelKind kind, bool recovered = false) => new(kind, null, recovered, false);

    internal static AdmissionVerdict Refuse(RefusalReason reason) => new(null, reason, false, false);
}
