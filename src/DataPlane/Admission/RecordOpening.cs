using System.Buffers;
using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>The first bytes of a preempt channel: a record of a page, or a lone end.</summary>
internal static class RecordOpening
{
    /// <summary>Where the name begins: u64 offset and flags | u8 n | n bytes block name.</summary>
    internal const int NameStart = RamRecordHeader.MinSize + 1;

    private static RamFlags FlagsOf(ReadOnlySpan<byte> opening) =>
        (RamFlags)(BinaryPrimitives.ReadUInt64BigEndian(opening) & WireLimits.PageOffsetMask);

    internal static bool IsEnd(ReadOnlySpan<byte> opening) => FlagsOf(opening) == RamFlags.EndOfSection;

    /// <summary>
    /// Whether a record can be the first of a preempt channel. There is no previous block that it could continue, and the channel carries
    /// neither lists nor compressed pages.
    /// </summary>
    internal static bool IsFirst(ReadOnlySpan<byte> opening) => FlagsOf(opening) switch
    {
        RamFlags.Page or RamFlags.Zero => true,
        RamFlags.EndOfSection => BinaryPrimitives.ReadUInt64BigEndian(opening) == (ulong)RamFlags.EndOfSection,
        _ => false,
    };

    internal static int Length(ReadOnlySpan<byte> opening) =>
        opening.Length < RamRecordHeader.MinSize || IsEnd(opening) ? RamRecordHeader.MinSize
        : opening.Length < NameStart ? NameStart
        : NameStart + opening[NameStart - 1];

    internal static AdmissionVerdict Prove(Evidence evidence)
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
}
