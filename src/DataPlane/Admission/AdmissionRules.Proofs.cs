using System.Buffers;
using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.Admission;

/// <content>Proofs whose length depends on their bytes, and proofs that only the host can judge.</content>
internal static partial class AdmissionRules
{
    private const byte MainStart = 0x51;
    private const byte RecoveryStart = 0x08;

    // 08 | u16 000a | u16 length of what follows | u8 n | n bytes block name
    private const int RecoveryNameStart = CommandHeader.Size + 1;

    // u64 offset|flags | u8 n | n bytes block name
    private const int RecordNameStart = RamRecordHeader.MinSize + 1;

    // 16 | version 03 xx | u16 length | handshake type 01, ...
    private const byte TlsHandshake = 0x16;
    private const int HelloHeaderSize = 5;
    private const int HelloLengthStart = 3;
    private const int MinHello = 4;
    private const int MaxHello = 1 << 14; // the limit of every TLS record
    private const byte ClientHello = 1;

    internal static bool IsMain(ReadOnlySpan<byte> opening) => opening.Length > 0 && opening[0] == MainStart;

    private static int MainLength(ReadOnlySpan<byte> opening)
    {
        _ = MainOpening.TryMeasure(opening, out var needed);
        return needed;
    }

    /// <summary>Holds a main channel beside one that may still be given up, until the host has decided about that one.</summary>
    private static AdmissionVerdict ProveMain(Evidence evidence) =>
        evidence.Facts.HasMain ? AdmissionVerdict.Held : AdmissionVerdict.Admit(ChannelKind.Main);

    private static int RecoveryLength(ReadOnlySpan<byte> opening) =>
        opening.Length < RecoveryNameStart ? RecoveryNameStart : RecoveryNameStart + opening[RecoveryNameStart - 1];

    private static bool IsRecoveryLengthRight(ReadOnlySpan<byte> opening) =>
        opening[RecoveryNameStart - 1] > 0
        && CommandHeader.TryRead(opening, out var command, out _)
        && command.Length == 1 + opening[RecoveryNameStart - 1];

    private static AdmissionVerdict ProveRecovery(Evidence evidence)
    {
        var host = evidence.Facts.Host;
        if (!host.MayBeBlock(evidence.Opening[RecoveryNameStart..RecoveryLength(evidence.Opening)]))
        {
            return AdmissionVerdict.Refuse(RefusalReason.BadRecovery);
        }

        return host.IsPaused ? AdmissionVerdict.Admit(ChannelKind.Main, recovered: true, host.ChoosesRecovery)
            : AdmissionVerdict.Held;
    }

    internal static bool IsRecovery(ReadOnlySpan<byte> opening) => opening.Length > 0 && opening[0] == RecoveryStart;

    private static RamFlags FlagsOf(ReadOnlySpan<byte> opening) =>
        (RamFlags)(BinaryPrimitives.ReadUInt64BigEndian(opening) & WireLimits.PageOffsetMask);

    internal static bool IsRecord(ReadOnlySpan<byte> opening) => opening.Length > 0 && opening[0] == 0;

    /// <summary>Whether a connection has sent a lone end: the end of a preempt channel, and nothing before it.</summary>
    internal static bool IsLoneEnd(ReadOnlySpan<byte> opening) =>
        opening.Length >= RamRecordHeader.MinSize && IsRecord(opening) && IsEnd(opening);

    private static bool IsEnd(ReadOnlySpan<byte> opening) => FlagsOf(opening) == RamFlags.EndOfSection;

    /// <summary>
    /// Whether a record can be the first of a preempt channel. There is no previous block that it could continue, and the channel carries
    /// neither lists nor compressed pages.
    /// </summary>
    private static bool IsFirstRecord(ReadOnlySpan<byte> opening) => FlagsOf(opening) switch
    {
        RamFlags.Page or RamFlags.Zero => true,
        RamFlags.EndOfSection => BinaryPrimitives.ReadUInt64BigEndian(opening) == (ulong)RamFlags.EndOfSection,
        _ => false,
    };

    private static int RecordLength(ReadOnlySpan<byte> opening) =>
        opening.Length < RamRecordHeader.MinSize || IsEnd(opening) ? RamRecordHeader.MinSize
        : opening.Length < RecordNameStart ? RecordNameStart
        : RecordNameStart + opening[RecordNameStart - 1];

    private static AdmissionVerdict ProveRecord(Evidence evidence)
    {
        var facts = evidence.Facts;
        if (!facts.HasMain)
        {
            return AdmissionVerdict.Held; // without main no page has been asked for, and the source's address is unknown
        }

        if (IsEnd(evidence.Opening))
        {
            return facts.Host.LoneEndIsPlausible ? AdmissionVerdict.Admit(ChannelKind.Preempt, facts.IsRecovery) : AdmissionVerdict.Held;
        }

        if (RamRecordHeader.Parse(evidence.Opening, out var record, out _, out _) != OperationStatus.Done)
        {
            return AdmissionVerdict.Refuse(RefusalReason.BadPreempt);
        }

        if (facts.HasPreempt)
        {
            // The checks have passed, so the source may have lost its link and come again before the host has noticed. Which pages it owes
            // is known only when the host expects the recovery.
            return facts.Host.MayBeBlock(record.Name(evidence.Opening)) ? AdmissionVerdict.Held
                : AdmissionVerdict.Refuse(RefusalReason.LostCandidacy);
        }

        return facts.Host.Judge(record.Name(evidence.Opening), record.Offset) switch
        {
            PreemptVerdict.Requested => AdmissionVerdict.Admit(ChannelKind.Preempt, facts.IsRecovery),
            PreemptVerdict.NotYet => AdmissionVerdict.Held,
            _ => AdmissionVerdict.Refuse(RefusalReason.BadPreempt),
        };
    }

    private static int HelloLength(ReadOnlySpan<byte> opening) => opening.Length < HelloHeaderSize ? HelloHeaderSize
        : HelloHeaderSize + BinaryPrimitives.ReadUInt16BigEndian(opening[HelloLengthStart..]);

    /// <summary>
    /// Whether a ClientHello is whole and alone in its TLS record. A server that gets only a part waits for more, and admission reads no
    /// more than one record.
    /// </summary>
    private static bool IsWholeHello(ReadOnlySpan<byte> opening) =>
        (opening[HelloHeaderSize + 1] << 16) + BinaryPrimitives.ReadUInt16BigEndian(opening[(HelloHeaderSize + 2)..])
        == BinaryPrimitives.ReadUInt16BigEndian(opening[HelloLengthStart..]) - MinHello;

    private static bool IsHelloLengthRight(ReadOnlySpan<byte> opening) =>
        BinaryPrimitives.ReadUInt16BigEndian(opening[HelloLengthStart..]) is >= MinHello and <= MaxHello;
}
