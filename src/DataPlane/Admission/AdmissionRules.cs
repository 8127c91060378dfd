using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>
/// The rules, as a table over a connection's first bytes (specification, 1-channels section 1.7). Nothing else decides: not the order of
/// arrival, not time, not silence.
/// <code>
/// first bytes                            decision
/// ---------------------------------------------------------------------------------------------------------------
/// none                                   undecided
/// 51 45 56 4d 00 00 00 03, more          main once the configuration and a byte after it are there, if there is none; held while there is
///                                        one that the host may still give up (MainIsSettled), else SecondMain, also in recovery.
///                                        Other version: Version
/// 11 22 33 44 00 00 00 01 UUID id (64)   that multifd channel, if expected, in range, free, and of this VM;
///                                        else NoMultifd (also in recovery), Uuid, IdRange, IdTaken. Other version: Version
/// 08 00 0a length n name                 recovered main, if the migration is paused and has none, and the name is a block's;
///                                        else Unexpected, SecondMain, BadRecovery. Held while postcopy runs, if it is of main's peer:
///                                        the source may have noticed the loss of the link before the host has
/// 00.. offset|08 or offset|02, n, name   preempt, if expected, free, of main's peer, and the host has asked for that page;
///                                        else Unexpected, LostCandidacy, ForeignPeer, BadPreempt. Held while the host cannot say, and
///                                        for some seconds beside a preempt channel whose link the host may have lost unnoticed
/// 00 00 00 00 00 00 00 10                the same, if the host holds such an end for plausible; held while not
/// 16 03                                  TlsOnPlain; where TLS is expected: a TLS session, once its ClientHello is whole, in one record,
///                                        and every row above is PlainOnTls. Where it ends here, the table again for what is inside
/// a true prefix of one of these          undecided
/// anything else, at its first wrong byte Garbage
/// </code>
/// </summary>
internal static class AdmissionRules
{
    /// <summary>
    /// The number of bytes that may be read of any connection: the size of a multifd channel's init packet. The packets after it must stay
    /// in the socket, to be received straight into guest memory. More bytes are read only where the proof of a row is longer, and no more
    /// than that proof.
    /// </summary>
    public const int FirstRead = MultifdInit.Size;

    private const int VersionEnd = 8;
    private const int UuidStart = 8;
    private const int UuidEnd = 24;
    private const int IdEnd = 25;

    public static readonly AdmissionRule[] Table =
    [
        new("main channel", [MainOpening.First, 0x45, 0x56, 0x4D], MainOpening.Measure, MainOpening.Prove,
            Version(5, 0x00), Version(6, 0x00), Version(7, 0x00), Version(VersionEnd, 0x03),
            new(VersionEnd, RefusalReason.SecondMain, e =>
                e.Facts.IsRecovery || (e.Facts.HasMain && e.Facts.Host.MainIsSettled)),
            new(VersionEnd + 1, RefusalReason.Garbage, e => !MainOpening.TryMeasure(e.Opening, out _))),

        new("multifd channel", [0x11, 0x22, 0x33, 0x44], _ => MultifdInit.Size, _ => AdmissionVerdict.Admit(ChannelKind.Multifd),
            Version(5, 0x00), Version(6, 0x00), Version(7, 0x00), Version(VersionEnd, 0x01),
            new(VersionEnd, RefusalReason.NoMultifd, e => e.Facts.MultifdChannels == 0 || e.Facts.IsRecovery),
            new(UuidEnd, RefusalReason.Uuid, e =>
                e.Facts.Uuid is { } uuid && uuid != new Guid(e.Opening[UuidStart..UuidEnd], bigEndian: true)),
            new(IdEnd, RefusalReason.IdRange, e => e.Opening[IdEnd - 1] >= e.Facts.MultifdChannels),
            new(IdEnd, RefusalReason.IdTaken, e => e.Facts.IsTaken(e.Opening[IdEnd - 1]))),

        new("recovery command", [0x08, 0x00, 0x0A], RecoveryOpening.Measure, RecoveryOpening.Prove,
            new(3, RefusalReason.Unexpected, e =>
                !e.Facts.Host.IsPaused && (!e.Facts.Host.MayBePaused || e.Facts.IsForeign(e.PeerGroup))),
            new(3, RefusalReason.SecondMain, e => e.Facts.Host.IsPaused && e.Facts.HasMain),
            new(RecoveryOpening.NameStart, RefusalReason.BadRecovery, e => !RecoveryOpening.IsLengthRight(e.Opening))),

        new("page record", [0x00], RecordOpening.Measure, RecordOpening.Prove,
            new(1, RefusalReason.Unexpected, e => !e.Facts.ExpectsPreempt),
            new(1, RefusalReason.LostCandidacy, e =>
                e.Facts.HasPreempt && (!e.Facts.Host.MayBePaused || e.Facts.IsForeign(e.PeerGroup))),
            new(1, RefusalReason.ForeignPeer, e => e.Facts.IsForeign(e.PeerGroup)),
            new(RamRecordHeader.MinSize, RefusalReason.LostCandidacy, e => e.Facts.HasPreempt && RecordOpening.IsEnd(e.Opening)),
            new(RamRecordHeader.MinSize, RefusalReason.BadPreempt, e => !RecordOpening.IsFirstRecord(e.Opening)),
            new(RecordOpening.NameStart, RefusalReason.BadPreempt, e =>
                !RecordOpening.IsEnd(e.Opening) && e.Opening[RecordOpening.NameStart - 1] == 0)),

        new("TLS handshake", [HelloOpening.Handshake, 0x03], HelloOpening.Measure, _ => AdmissionVerdict.Admit(ChannelKind.Tls),
            new(2, RefusalReason.TlsOnPlain, e => !e.IsTls),
            new(HelloOpening.HeaderSize, RefusalReason.Garbage, e => !HelloOpening.IsLengthRight(e.Opening)),
            new(HelloOpening.HeaderSize + 1, RefusalReason.Garbage, e => !HelloOpening.IsClientHello(e.Opening)),
            new(HelloOpening.HeaderSize + HelloOpening.MinSize, RefusalReason.Garbage, e => !HelloOpening.IsWhole(e.Opening))),
    ];

    public static AdmissionVerdict Judge(ReadOnlySpan<byte> opening, PeerGroup peerGroup, AdmissionFacts facts, bool isInside = false)
    {
        var isTls = facts.ExpectsTls && !isInside;
        if (opening.IsEmpty)
        {
            return AdmissionVerdict.Undecided;
        }

        if (Find(opening[0]) is not { } rule)
        {
            return AdmissionVerdict.Refuse(RefusalReason.Garbage);
        }

        if (isTls && opening[0] != HelloOpening.Handshake)
        {
            return AdmissionVerdict.Refuse(RefusalReason.PlainOnTls);
        }

        return rule.MayBegin(opening) ? rule.Judge(new Evidence(opening, peerGroup, facts, isTls))
            : AdmissionVerdict.Refuse(RefusalReason.Garbage);
    }

    /// <summary>How many bytes may be read of a connection while it is undecided.</summary>
    public static int ReadLimit(ReadOnlySpan<byte> opening) =>
        opening.IsEmpty || Find(opening[0]) is not { } rule ? FirstRead : Math.Max(FirstRead, rule.Whole(opening));

    /// <summary>Finds the only row that can fit: the signatures differ from one another in their first byte.</summary>
    private static AdmissionRule? Find(byte first)
    {
        foreach (var rule in Table)
        {
            if (rule.Signature[0] == first)
            {
                return rule;
            }
        }

        return null;
    }

    /// <summary>
    /// A check of one byte of a version. The bytes are checked one by one, so that a wrong version is refused at its first wrong byte.
    /// </summary>
    private static AdmissionCheck Version(int bytes, byte expected) =>
        new(bytes, RefusalReason.Version, e => e.Opening[bytes - 1] != expected);
}
