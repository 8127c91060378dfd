using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>
/// The rules, as a table over a connection's first bytes. Nothing else decides: not the order of arrival, not time, not silence.
/// <code>
/// first bytes                            decision
/// ---------------------------------------------------------------------------------------------------------------
/// none                                   undecided
/// 51 45 56 4d 00 00 00 03                main, if there is none; else SecondMain. Other version: Version
/// 11 22 33 44 00 00 00 01 UUID id (64)   that multifd channel, if expected, in range, free, and of this VM;
///                                        else NoMultifd, Uuid, IdRange, IdTaken. Other version: Version
/// 08 00 0a                               recovery of a paused migration: Unexpected
/// 00                                     page record of a preempt channel: Unexpected
/// 16 03                                  TlsOnPlain
/// a true prefix of one of these          undecided
/// anything else, at its first wrong byte Garbage
/// </code>
/// </summary>
internal static class AdmissionRules
{
    /// <summary>
    /// Most bytes that are read before a decision. No more than a multifd channel's init packet: the packets behind it must stay in the
    /// socket, to go from there to their place in guest memory.
    /// </summary>
    internal const int MaxOpening = MultifdInit.Size;

    private const int VersionEnd = 8;
    private const int UuidStart = 8;
    private const int UuidEnd = 24;
    private const int IdEnd = 25;

    internal static readonly AdmissionRule[] Table =
    [
        new("main channel", [0x51, 0x45, 0x56, 0x4D], StreamHeader.Size, ChannelKind.Main,
            Version(5, 0x00), Version(6, 0x00), Version(7, 0x00), Version(VersionEnd, 0x03),
            new(VersionEnd, RefusalReason.SecondMain, (_, facts) => facts.HasMain)),

        new("multifd channel", [0x11, 0x22, 0x33, 0x44], MultifdInit.Size, ChannelKind.Multifd,
            Version(5, 0x00), Version(6, 0x00), Version(7, 0x00), Version(VersionEnd, 0x01),
            new(VersionEnd, RefusalReason.NoMultifd, (_, facts) => facts.MultifdChannels == 0),
            new(UuidEnd, RefusalReason.Uuid, (opening, facts) =>
                facts.Uuid is { } uuid && uuid != new Guid(opening[UuidStart..UuidEnd], bigEndian: true)),
            new(IdEnd, RefusalReason.IdRange, (opening, facts) => opening[IdEnd - 1] >= facts.MultifdChannels),
            new(IdEnd, RefusalReason.IdTaken, (opening, facts) => facts.IsTaken(opening[IdEnd - 1]))),

        new("recovery command", [0x08, 0x00, 0x0A], 3, null,
            new AdmissionCheck(3, RefusalReason.Unexpected, (_, _) => true)),

        new("page record", [0x00], 1, null,
            new AdmissionCheck(1, RefusalReason.Unexpected, (_, _) => true)),

        new("TLS handshake", [0x16, 0x03], 2, null,
            new AdmissionCheck(2, RefusalReason.TlsOnPlain, (_, _) => true)),
    ];

    internal static AdmissionVerdict Judge(ReadOnlySpan<byte> opening, AdmissionFacts facts)
    {
        foreach (AdmissionRule rule in Table)
        {
            int compared = Math.Min(opening.Length, rule.Signature.Length);
            if (!opening[..compared].SequenceEqual(rule.Signature.AsSpan(0, compared)))
                continue;
            // The signatures differ from one another in their first byte: no other row can fit.
            return compared < rule.Signature.Length ? AdmissionVerdict.Undecided : Judge(rule, opening, facts);
        }

        return AdmissionVerdict.Refuse(RefusalReason.Garbage);
    }

    private static AdmissionVerdict Judge(AdmissionRule rule, ReadOnlySpan<byte> opening, AdmissionFacts facts)
    {
        foreach (AdmissionCheck check in rule.Checks)
        {
            if (opening.Length >= check.Bytes && check.Fails(opening, facts))
                return AdmissionVerdict.Refuse(check.Reason);
        }

        return rule.Kind is { } kind && opening.Length >= rule.Length ? AdmissionVerdict.Admit(kind) : AdmissionVerdict.Undecided;
    }

    /// <summary>Byte by byte, so that a wrong version is refused at its first wrong byte.</summary>
    private static AdmissionCheck Version(int bytes, byte expected) =>
        new(bytes, RefusalReason.Version, (opening, _) => opening[bytes - 1] != expected);
}
