using System.Buffers;
using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>
/// The first bytes of a preempt channel: the head of a page record, or a lone end.
/// <code>
/// u64 offset|flags | u8 n | n bytes block name
/// 00 00 00 00 00 00 00 10
/// </code>
/// Whether the page has been asked for, and whether a channel without pages can be, only the host knows.
/// </summary>
internal static class RecordOpening
{
    public const int NameStart = RamRecordHeader.MinSize + 1;

    private const byte First = 0;

    /// <summary>Whether what has come so far is the beginning of such a channel and of no other.</summary>
    public static bool MayBe(ReadOnlySpan<byte> opening) => opening.Length > 0 && opening[0] == First;

    /// <summary>Whether a connection has sent a lone end: the end of a preempt channel, and nothing before it.</summary>
    public static bool IsLoneEnd(ReadOnlySpan<byte> opening) =>
        opening.Length >= RamRecordHeader.MinSize && MayBe(opening) && IsEnd(opening);

    /// <summary>The number of bytes that make the proof whole, as far as known.</summary>
    public static int Measure(ReadOnlySpan<byte> opening) =>
        opening.Length < RamRecordHeader.MinSize || IsEnd(opening) ? RamRecordHeader.MinSize
        : opening.Length < NameStart ? NameStart
        : NameStart + opening[NameStart - 1];

    /// <summary>Whether a head that is there as a whole is that of an end.</summary>
    public static bool IsEnd(ReadOnlySpan<byte> opening) => FlagsOf(opening) == RamFlags.EndOfSection;

    /// <summary>
    /// Whether a record can be the first of a preempt channel. There is no previous block that it could continue, and the channel carries
    /// neither lists nor compressed pages.
    /// </summary>
    public static bool IsFirstRecord(ReadOnlySpan<byte> opening) => FlagsOf(opening) switch
    {
        RamFlags.Page or RamFlags.Zero => true,
        RamFlags.EndOfSection => BinaryPrimitives.ReadUInt64BigEndian(opening) == (ulong)RamFlags.EndOfSection,
        _ => false,
    };

    public static AdmissionVerdict Prove(Evidence evidence)
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

    private static RamFlags FlagsOf(ReadOnlySpan<byte> opening) =>
        (RamFlags)(BinaryPrimitives.ReadUInt64BigEndian(opening) & WireLimits.PageOffsetMask);
}
