using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace DataPlane.Tool.CommandLine;

/// <summary>TIME of the command line: <c>300ms</c>, <c>2s</c>, <c>5m</c>; a bare number is seconds.</summary>
internal readonly record struct Duration(TimeSpan Value)
{
    public static bool TryParse(string text, out Duration value, [NotNullWhen(false)] out string? error)
    {
        value = default;
        if (!UnitNumber.TrySplit(text, out var number, out var unit) || TicksPerUnit(unit) is not { } ticksPerUnit)
        {
            error = $"'{text}' is not a time; write 300ms, 2s or 5m (a bare number is seconds)";
            return false;
        }

        if (UnitNumber.Scale(number, ticksPerUnit) is not { } ticks)
        {
            error = $"'{text}' is too long for a time";
            return false;
        }

        value = new Duration(TimeSpan.FromTicks(ticks));
        error = null;
        return true;
    }

    private static long? TicksPerUnit(ReadOnlySpan<char> unit) => UnitNumber.Normalize(unit) switch
    {
        "us" => TimeSpan.TicksPerMicrosecond,
        "ms" => TimeSpan.TicksPerMillisecond,
        "" or "s" => TimeSpan.TicksPerSecond,
        "m" or "min" => TimeSpan.TicksPerMinute,
        "h" => TimeSpan.TicksPerHour,
        _ => null,
    };

    public override string ToString()
    {
        (var number, var unit) = Value.Ticks switch
        {
            >= TimeSpan.TicksPerMinute when Value.Ticks % TimeSpan.TicksPerMinute == 0 => (Value.Ticks / TimeSpan.TicksPerMinute, "m"),
            >= TimeSpan.TicksPerSecond or 0 => (Value.Ticks / (decimal)TimeSpan.TicksPerSecond, "s"),
            _ => (Value.Ticks / (decimal)TimeSpan.TicksPerMillisecond, "ms"),
        };
        return number.ToString("0.#######", CultureInfo.InvariantCulture) + unit;
    }
}
