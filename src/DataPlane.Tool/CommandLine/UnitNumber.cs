using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace DataPlane.Tool.CommandLine;

/// <summary>A number followed by a unit, as people write sizes, rates and times: exact decimal arithmetic, no culture, no sign.</summary>
internal static class UnitNumber
{
    // More digits than any 64-bit quantity needs. The limit keeps hostile arguments from costing time.
    private const int MaxLength = 40;

    /// <summary>Splits <paramref name="text"/> into its number and whatever follows; false when it does not start with a number.</summary>
    public static bool TrySplit(string text, out decimal number, out ReadOnlySpan<char> unit)
    {
        number = 0;
        unit = default;
        if (text.Length is 0 or > MaxLength)
        {
            return false;
        }

        var end = 0;
        while (end < text.Length && (char.IsAsciiDigit(text[end]) || text[end] == '.'))
        {
            end++;
        }

        var digits = text.AsSpan(0, end);
        unit = text.AsSpan(end);
        return digits.Length > 0 && digits[0] != '.' && digits[^1] != '.'
            && decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>Multiplies and rounds to a whole number that fits a <see cref="long"/>; null when it does not fit.</summary>
    public static long? Scale(decimal number, decimal factor)
    {
        // Dividing first keeps the comparison itself from overflowing.
        if (number > long.MaxValue / factor)
        {
            return null;
        }

        var scaled = decimal.Round(number * factor, MidpointRounding.AwayFromZero);
        return scaled > long.MaxValue ? null : (long)scaled;
    }

    [SuppressMessage("Globalization", "CA1308:Normalize strings to uppercase", Justification = "Units are compared, not stored.")]
    public static string Normalize(ReadOnlySpan<char> unit) => unit.ToString().ToLowerInvariant();
}
