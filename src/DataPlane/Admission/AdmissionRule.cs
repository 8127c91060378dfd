using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>What the rules judge a connection by.</summary>
/// <param name="opening">The first bytes of the connection, as far as they have come.</param>
/// <param name="peerGroup">The address of the connection's peer.</param>
/// <param name="facts">What is expected and established.</param>
/// <param name="isTls">Whether the connection must be TLS.</param>
internal readonly ref struct Evidence(ReadOnlySpan<byte> opening, PeerGroup peerGroup, AdmissionFacts facts, bool isTls)
{
    public ReadOnlySpan<byte> Opening { get; } = opening;

    public PeerGroup PeerGroup { get; } = peerGroup;

    public AdmissionFacts Facts { get; } = facts;

    public bool IsTls { get; } = isTls;
}

/// <summary>Whether a connection fails a check. It is called only when the bytes that the check asks for are there.</summary>
internal delegate bool FailsCheck(Evidence evidence);

/// <summary>How many bytes make a proof whole, as far as the bytes so far show: the number may grow until that many are there.</summary>
internal delegate int WholeLength(ReadOnlySpan<byte> opening);

/// <summary>Decides about a connection whose proof is whole and has passed every check.</summary>
internal delegate AdmissionVerdict Proof(Evidence evidence);

/// <summary>
/// One reason of a rule to refuse a connection, which can be decided once <paramref name="Bytes"/> of its bytes are there.
/// </summary>
/// <param name="Bytes">Bytes from the start of the connection that the check looks at.</param>
/// <param name="Reason">The reason of the refusal when the check fails.</param>
/// <param name="Fails">The check.</param>
internal sealed record AdmissionCheck(int Bytes, RefusalReason Reason, FailsCheck Fails);

/// <summary>
/// One row of the table: a connection that begins with <paramref name="Signature"/> is refused for the first of <paramref name="Checks"/>
/// that fails; when none does and <paramref name="Whole"/> bytes are there, <paramref name="Proof"/> decides.
/// </summary>
/// <param name="Name">Name of the row, for readers.</param>
/// <param name="Signature">First bytes of the connection; the first of them differs from that of every other row.</param>
/// <param name="Whole">How many bytes make the proof whole.</param>
/// <param name="Proof">Decides once the proof is whole.</param>
/// <param name="Checks">Reasons to refuse, in the order of the bytes they ask for, so that the reason is the same whether the bytes come
/// one by one or all at once.</param>
internal sealed record AdmissionRule(string Name, byte[] Signature, WholeLength Whole, Proof Proof, params AdmissionCheck[] Checks)
{
    public bool MayBegin(ReadOnlySpan<byte> opening) =>
        Signature.AsSpan().StartsWith(opening[..Math.Min(opening.Length, Signature.Length)]);

    public AdmissionVerdict Judge(Evidence evidence)
    {
        var bytes = evidence.Opening.Length;
        foreach (var check in Checks)
        {
            if (bytes >= check.Bytes && check.Fails(evidence))
            {
                return AdmissionVerdict.Refuse(check.Reason);
            }
        }

        return bytes >= Whole(evidence.Opening) ? Proof(evidence) : AdmissionVerdict.Undecided;
    }
}

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
    public static AdmissionVerdict Undecided => default;

    /// <summary>The verdict on a connection that no further byte can decide: the host must know more first.</summary>
    public static AdmissionVerdict Held => new(null, null, false, true);

    public static AdmissionVerdict Admit(ChannelKind kind, bool recovered = false, bool isOneOfSeveral = false) =>
        new(kind, null, recovered, false, isOneOfSeveral);

    public static AdmissionVerdict Refuse(RefusalReason reason) => new(null, reason, false, false);
}
