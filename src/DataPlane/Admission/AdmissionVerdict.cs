namespace DataPlane.Admission;

/// <summary>
/// What the rules decide by the bytes of a connection so far: admitted as a kind, refused for a reason, held because only the host can
/// judge what is there, or none of these yet.
/// </summary>
/// <param name="Admitted">The kind as which the connection is admitted, else <see langword="null"/>.</param>
/// <param name="Refused">The reason of its refusal, else <see langword="null"/>.</param>
/// <param name="IsRecovered">Whether the channel belongs to a recovery.</param>
/// <param name="IsHeld">Whether the host must know more before the connection can be decided.</param>
/// <param name="IsOneOfSeveral">Whether the channel takes no place before the host has chosen it among others.</param>
internal readonly record struct AdmissionVerdict(
    ChannelKind? Admitted, RefusalReason? Refused, bool IsRecovered, bool IsHeld, bool IsOneOfSeveral = false)
{
    internal static AdmissionVerdict Undecided => default;

    /// <summary>The verdict on a connection that no further byte can decide: the host must know more first.</summary>
    internal static AdmissionVerdict Held => new(null, null, false, true);

    internal static AdmissionVerdict Admit(ChannelKind kind, bool recovered = false, bool isOneOfSeveral = false) =>
        new(kind, null, recovered, false, isOneOfSeveral);

    internal static AdmissionVerdict Refuse(RefusalReason reason) => new(null, reason, false, false);
}
