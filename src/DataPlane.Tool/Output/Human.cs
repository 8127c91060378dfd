using System.Globalization;

namespace DataPlane.Tool.Output;

/// <summary>
/// Quantities for people: sizes in binary units as on the command line, rates in decimal MB/s or GB/s as is usual for networks.
/// </summary>
internal static class Human
{
    private static readonly string[] s_units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    public static string Bytes(double bytes)
    {
        var unit = 0;
        while (bytes >= 1024 && unit < s_units.Length - 1)
        {
            bytes /= 1024;
            unit++;
        }

        return Format(unit == 0 || bytes >= 100 ? "0" : bytes >= 10 ? "0.0" : "0.00", bytes) + " " + s_units[unit];
    }

    public static string Rate(double bytesPerSecond) => bytesPerSecond >= 999.95e6
        ? Format("0.00", bytesPerSecond / 1e9) + " GB/s"
        : Format("0.0", bytesPerSecond / 1e6) + " MB/s";

    /// <summary>An estimated time in whole seconds, minutes or hours; null when it is too long to mean anything.</summary>
    public static string? About(double seconds) => seconds switch
    {
        < 100 => Format("0", Math.Max(1, Math.Ceiling(seconds))) + " s",
        < 100 * 60 => Format("0", Math.Ceiling(seconds / 60)) + " min",
        < 100 * 3600 => Format("0", Math.Ceiling(seconds / 3600)) + " h",
        _ => null,
    };

    public static string Seconds(double seconds) => seconds switch
    {
        < 0.001 => Format("0", seconds * 1e6) + " us",
        < 1 => Format("0.0", seconds * 1e3) + " ms",
        _ => Format("0.00", seconds) + " s",
    };

    public static string Number(double number, int decimals) => number.ToString("F" + decimals, CultureInfo.InvariantCulture);

    public static string Count(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    private static string Format(string format, double value) => value.ToString(format, CultureInfo.InvariantCulture);
}
