using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>The first bytes of a recovered main channel: the command that names a RAM block.</summary>
internal static class RecoveryOpening
{
    /// <summary>Where the name begins: 08 | u16 000a | u16 length of what follows | u8 n | n bytes block name.</summary>
    internal const int NameStart = CommandHeader.Size + 1;

    internal static int Length(ReadOnlySpan<byte> opening) =>
        opening.Length < NameStart ? NameStart : NameStart + opening[NameStart - 1];

    internal static bool IsLengthRight(ReadOnlySpan<byte> opening) =>
        opening[NameStart - 1] > 0
        && CommandHeader.TryRead(opening, out var command, out _)
        && command.Length == 1 + opening[NameStart - 1];

    internal static AdmissionVerdict Prove(Evidence evidence)
    {
        var host = evidence.Facts.Host;
        if (!host.MayBeBlock(evidence.Opening[NameStart..Length(evidence.Opening)]))
        {
            return AdmissionVerdict.Refuse(RefusalReason.BadRecovery);
        }

        return host.IsPaused ? AdmissionVerdict.Admit(ChannelKind.Main, recovered: true, host.ChoosesRecovery)
            : AdmissionVerdict.Held;
    }
}
