using System.Globalization;
using System.Text;

namespace DataPlane.Guard.Qmp;

/// <summary>One RAM block as QEMU lists it.</summary>
/// <param name="Name">The name of the block, as in the stream of a migration.</param>
/// <param name="PageBytes">The size of the pages that back the block; 0 where the table does not tell it.</param>
/// <param name="UsedBytes">The present length of the block.</param>
/// <param name="TotalBytes">The length to which the block may grow; most blocks have it already.</param>
internal readonly record struct RamBlockRow(string Name, long PageBytes, long UsedBytes, long TotalBytes);

/// <summary>
/// Reads the table that QEMU prints for people (<c>info ramblock</c>), and leaves out rows that cannot be read. It takes one pass and is
/// bounded, because a QEMU that its guest has taken over may send anything.
/// </summary>
internal static class RamBlockTable
{
    /// <summary>
    /// The longest row in characters: a name has at most 255 bytes, and the numbers of a row take less than as much again.
    /// </summary>
    private const int MaxRow = 512;

    private const int MaxBlocks = 4096;

    public static IReadOnlyList<RamBlockRow> Parse(string table)
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
    /// Reads a row: Block Name, PSize, Offset, Used, Total, in newer versions more. Names are aligned to the right and may contain spaces,
    /// so a row is known by its first three hexadecimal numbers and read backwards from there.
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
