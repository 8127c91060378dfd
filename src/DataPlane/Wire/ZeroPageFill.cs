namespace DataPlane.Wire;

/// <summary>What follows the head of a ZERO record: one byte, 0. Old QEMUs would take another fill byte, but none sends one.</summary>
internal static class ZeroPageFill
{
    public const int Size = 1;

    public static void Write(Span<byte> destination) => destination[0] = 0;

    public static bool TryRead(ReadOnlySpan<byte> source, out string? error)
    {
        error = null;
        if (source.IsEmpty)
        {
            error = "a ZERO record has a fill byte";
        }
        else if (source[0] != 0)
        {
            error = $"a ZERO record has fill byte {source[0]:X2}, only 00 is supported";
        }

        return error is null;
    }
}
