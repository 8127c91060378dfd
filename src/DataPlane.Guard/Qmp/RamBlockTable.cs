using System.Globalization;
using System.Text;

namespace DataPlane.Guard.Qmp;

/// <summary>One RAM block as QEMU says it has it.</summary>
/// <param name="Name">Its name, as in the stream of a migration.</param>
/// <param name="PageBytes">Size of the pages that back it; 0 where the table does not tell.</param>
/// <param name="UsedBytes">Its length now.</param>
/// <param name="TotalBytes">The length to which it may grow; the same for most.</param>
internal readonly record struct RamBlockRow(string Name, long PageBytes, long UsedBytes, long TotalBytes);

/// <summary>
/// The table that QEMU prints for people (<c>info ramblock</c>). Rows that cannot be read are left out. In one pass, and bounded: a QEMU
/// that its guest has taken over may say anything.
/// </summary>
internal static class RamBlockTable
{
    /// <summary>A name has 255 bytes at most, and the numbers of a row less than as much again.</summary>
    private const int MaxRow = 512;

    private const int MaxBlocks = 4096;

    internal static IReadOnlyList<RamBlockRow> Parse(string table)
    {
        List<RamBlockRow> rows = [];
        foreach (var line in table.AsSpan().EnumerateLines())
        {
            if (line.Length <= MaxRow && rows.Count < MaxBlocks && TryRead(line, out var row))
            {
                rows.Add(row);
            }
        }

        return rows;
    }

    /// <summary>
    /// Block Name, PSize, Offset, Used, Total, in newer versions more: names are aligned to the right and may have spaces, so a row is
    /// known by its first three hexadecimal numbers and read backwards from there.
    /// </summary>
    private static bool TryRead(ReadOnlySpan<char> line, out RamBlockRow row)
    {
        row = default;
        for (var at = line.IndexOf(" 0x"); at > 0;)
        {
            var numbers = line[at..];
            if (TakeNumber(ref numbers, out _) && TakeNumber(ref numbers, out var used) && TakeNumber(ref numbers, out var total))
            {
                var isRow = TryReadHead(line[..at], out var name, out var pageBytes);
                row = new RamBlockRow(name, pageBytes, used, total);
                return isRow;
            }

            var next = line[(at + 1)..].IndexOf(" 0x");
            at = next < 0 ? -1 : at + 1 + next;
        }

        return false;
    }

    private static bool TryReadHead(ReadOnlySpan<char> head, out string name, out long pageBytes)
    {
        var text = head.Trim(' ');
        var unit = text.LastIndexOf(' ');
        var size = unit < 0 ? -1 : text[..unit].TrimEnd(' ').LastIndexOf(' ');
        name = size < 0 ? "" : text[..size].TrimEnd(' ').ToString();
        pageBytes = size < 0 ? 0 : PageBytes(text[size..unit].Trim(' '), text[unit..].Trim(' '));
        return size >= 0 && text[^1] == 'B' && name.Length > 0 && Encoding.UTF8.GetByteCount(name) <= byte.MaxValue;
    }

    private static long PageBytes(ReadOnlySpan<char> number, ReadOnlySpan<char> unit)
    {
        var shift = unit switch
        {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => -1,
        };
        return shift >= 0 && int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            ? (long)count << shift : 0;
    }

    private static bool TakeNumber(ref ReadOnlySpan<char> rest, out long number)
    {
        number = 0;
        var text = rest.TrimStart(' ');
        if (!text.StartsWith("0x", StringComparison.Ordinal))
        {
            return false;
        }

        var end = text.IndexOf(' ') is >= 0 and var space ? space : text.Length;
        rest = text[end..];
        return long.TryParse(text[2..end], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number) && number >= 0;
    }
}
