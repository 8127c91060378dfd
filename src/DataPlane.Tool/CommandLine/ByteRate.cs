using System.Diagnostics.CodeAnalysis;

namespace DataPlane.Tool.CommandLine;

/// <summary>RATE of the command line: bytes per second as a SIZE, or decimal bits per second (<c>10Gbit</c>).</summary>
internal readonly record struct ByteRate(long BytesPerSecond)
{
    public static bool TryParse(string text, out ByteRate value, [NotNullWhen(false)] out string? error)
    {
        value = default;
        var plain = text.EndsWith("/s", StringComparison.Ordinal) ? text[..^2] : text;
        if (UnitNumber.TrySplit(plain, out var number, out var unit) && BitFactor(unit) is { } bitsPerSecond)
        {
            if (UnitNumber.Scale(number, bitsPerSecond / 8m) is not { } fromBits)
            {
                error = $"'{text}' is too large for a rate";
                return false;
            }

            value = new ByteRate(fromBits);
            error = null;
            return true;
        }

        if (!ByteSize.TryParse(plain, out var size, out error))
        {
            error = error.EndsWith("for a size", StringComparison.Ordinal)
                ? $"'{text}' is too large for a rate"
                : $"'{text}' is not a rate; write bytes per second as 500M or 2G, or bits as 10Gbit";
            return false;
        }

        value = new ByteRate(size.Bytes);
        return true;
    }

    private static decimal? BitFactor(ReadOnlySpan<char> unit) => UnitNumber.Normalize(unit) switch
    {
        "bit" => 1m,
        "kbit" => 1_000m,
        "mbit" => 1_000_000m,
        "gbit" => 1_000_000_000m,
        "tbit" => 1_000_000_000_000m,
        _ => null,
    };

    public override string ToString() => new ByteSize(BytesPerSecond).ToString();
}
