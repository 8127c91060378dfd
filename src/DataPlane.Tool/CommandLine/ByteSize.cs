using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace DataPlane.Tool.CommandLine;

/// <summary>SIZE of the command line: a number of bytes, with binary units (<c>512K</c>, <c>1G</c>, <c>4GiB</c>).</summary>
internal readonly record struct ByteSize(long Bytes)
{
    private const string Letters = "KMGTPE";

    public static bool TryParse(string text, out ByteSize value, [NotNullWhen(false)] out string? error)
    {
        value = default;
        if (!UnitNumber.TrySplit(text, out var number, out var unit) || !TryFactor(unit, out var factor, out error))
        {
            error = $"'{text}' is not a size; write 4096, 512K, 1G or 4GiB (binary units)";
            return false;
        }

        if (UnitNumber.Scale(number, factor) is not { } bytes)
        {
            error = $"'{text}' is too large for a size";
            return false;
        }

        value = new ByteSize(bytes);
        error = null;
        return true;
    }

    /// <summary>
    /// The factor of a binary unit: nothing, B, K, KiB and so on. KB and GB are refused: half the world reads them as decimal.
    /// </summary>
    private static bool TryFactor(ReadOnlySpan<char> unit, out decimal factor, out string? error)
    {
        factor = 1;
        error = null;
        var name = UnitNumber.Normalize(unit);
        if (name is "" or "b")
        {
            return true;
        }

        var power = Letters.IndexOf(name[0], StringComparison.OrdinalIgnoreCase) + 1;
        if (power == 0 || name[1..] is not ("" or "ib"))
        {
            return false;
        }

        factor = 1L << (10 * power);
        return true;
    }

    /// <summary>The shortest exact spelling: the largest binary unit that divides it.</summary>
    public override string ToString()
    {
        var power = 0;
        var number = Bytes;
        while (number != 0 && number % 1024 == 0 && power < Letters.Length)
        {
            number /= 1024;
            power++;
        }

        var digits = number.ToString(CultureInfo.InvariantCulture);
        return power == 0 ? digits : digits + Letters[power - 1];
    }
}
