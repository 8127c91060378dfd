using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>
/// The first bytes of a main channel that continues a paused migration:
/// <code>
/// 08 | u16 000a | u16 length of what follows | u8 n | n bytes block name
/// </code>
/// Whether the block exists, and whether the migration is paused, only the host knows.
/// </summary>
internal static class RecoveryOpening
{
    public const int NameStart = CommandHeader.Size + 1;

    private const byte First = 0x08;

    /// <summary>Whether what has come so far is the beginning of such a channel and of no other.</summary>
    public static bool MayBe(ReadOnlySpan<byte> opening) => opening.Length > 0 && opening[0] == First;

    /// <summary>The number of bytes that make the proof whole, as far as known.</summary>
    public static int Measure(ReadOnlySpan<byte> opening) =>
        opening.Length < NameStart ? NameStart : NameStart + opening[NameStart - 1];

    public static bool IsLengthRight(ReadOnlySpan<byte> opening) =>
        opening[NameStart - 1] > 0
        && CommandHeader.TryRead(opening, out var command, out _)
        && command.Length == 1 + opening[NameStart - 1];

    public static AdmissionVerdict Prove(Evidence evidence)
    {
        var host = evidence.Facts.Host;
        if (!host.MayBeBlock(evidence.Opening[NameStart..Measure(evidence.Opening)]))
        {
            return AdmissionVerdict.Refuse(RefusalReason.BadRecovery);
        }

        return host.IsPaused ? AdmissionVerdict.Admit(ChannelKind.Main, recovered: true, host.ChoosesRecovery)
            : AdmissionVerdict.Held;
    }
}
