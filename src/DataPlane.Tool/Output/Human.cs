using System.Globalization;

namespace DataPlane.Tool.Output;

/// <summary>Quantities for people: sizes in binary units as on the command line, rates in decimal GB/s as network people count.</summary>
internal static class Human
{
    private static readonly string[] s_units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    public static string Bytes(double bytes)
    {
        int unit = 0;
        while (bytes >= 1024 && unit < s_units.Length - 1)
        {
            bytes /= 1024;
            unit++;
        }

        return Format(unit == 0 || bytes >= 100 ? "0" : bytes >= 10 ? "0.0" : "0.00", bytes) + " " + s_units[unit];
    }

    public static string Rate(double bytesPerSecond) => Format("0.00", bytesPerSecond / 1e9) + " GB/s";

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
