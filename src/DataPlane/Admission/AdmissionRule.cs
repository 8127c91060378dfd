namespace DataPlane.Admission;

/// <summary>What a connection is judged by.</summary>
/// <param name="opening">Its first bytes so far.</param>
/// <param name="peerGroup">Its peer's address.</param>
/// <param name="facts">What is expected and established.</param>
/// <param name="isTls">Whether it must be TLS.</param>
internal readonly ref struct Evidence(ReadOnlySpan<byte> opening, string peerGroup, AdmissionFacts facts, bool isTls)
{
    internal ReadOnlySpan<byte> Opening { get; } = opening;

    internal string PeerGroup { get; } = peerGroup;

    internal AdmissionFacts Facts { get; } = facts;

    internal bool IsTls { get; } = isTls;
}

/// <summary>Whether a connection fails a check, judged by at least the bytes that the check asks for.</summary>
internal delegate bool FailsCheck(Evidence evidence);

/// <summary>How many bytes make a proof, as far as the bytes so far tell: it grows until it is reached.</summary>
internal delegate int WholeLength(ReadOnlySpan<byte> opening);

/// <summary>What a whole proof that passed every check comes to.</summary>
internal delegate AdmissionVerdict Proof(Evidence evidence);

/// <summary>
/// One reason to refuse a connection that a rule is about, decidable once <paramref name="Bytes"/> of its bytes are there.
/// </summary>
/// <param name="Bytes">Bytes from the start of the connection that the check looks at.</param>
/// <param name="Reason">The reason when it fails.</param>
/// <param name="Fails">The check.</param>
internal sealed record AdmissionCheck(int Bytes, RefusalReason Reason, FailsCheck Fails);

/// <summary>
/// One row of the table: a connection that begins with <paramref name="Signature"/> is refused for the first of <paramref name="Checks"/>
/// that fails; when none does and <paramref name="Whole"/> bytes are there, <paramref name="Proof"/> decides.
/// </summary>
/// <param name="Name">What people call it.</param>
/// <param name="Signature">First bytes that are like those of no other row.</param>
/// <param name="Whole">Bytes that make the proof complete.</param>
/// <param name="Proof">What it proves then.</param>
/// <param name="Checks">Reasons to refuse, in the order of their bytes: so the reason is the same whether the bytes come one by one or all
/// at once.</param>
internal sealed record AdmissionRule(string Name, byte[] Signature, WholeLength Whole, Proof Proof, params AdmissionCheck[] Checks)
{
    internal bool MayBegin(ReadOnlySpan<byte> opening) =>
        Signature.AsSpan().StartsWith(opening[..Math.Min(opening.Length, Signature.Length)]);

    internal AdmissionVerdict Judge(Evidence evidence)
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
