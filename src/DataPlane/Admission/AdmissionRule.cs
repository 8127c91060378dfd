namespace DataPlane.Admission;

/// <summary>Whether a connection fails a check, judged by at least the bytes that the check asks for.</summary>
internal delegate bool FailsCheck(ReadOnlySpan<byte> opening, AdmissionFacts facts);

/// <summary>
/// One reason to refuse a connection that a rule is about, decidable once <paramref name="Bytes"/> of its bytes are there.
/// </summary>
/// <param name="Bytes">Bytes from the start of the connection that the check looks at.</param>
/// <param name="Reason">The reason when it fails.</param>
/// <param name="Fails">The check.</param>
internal sealed record AdmissionCheck(int Bytes, RefusalReason Reason, FailsCheck Fails);

/// <summary>
/// One row of the table: a connection that begins with <paramref name="Signature"/> is of this kind, is refused for the first of
/// <paramref name="Checks"/> that fails, and is admitted when none does and <paramref name="Length"/> bytes are there.
/// </summary>
/// <param name="Name">What people call it.</param>
/// <param name="Signature">First bytes that are like those of no other row.</param>
/// <param name="Length">Bytes that make the proof complete.</param>
/// <param name="Kind">What it becomes; without it the checks leave nothing to admit.</param>
/// <param name="Checks">Reasons to refuse, in the order of their bytes: so the reason is the same whether the bytes come one by one or all
/// at once.</param>
internal sealed record AdmissionRule(string Name, byte[] Signature, int Length, ChannelKind? Kind, params AdmissionCheck[] Checks);
