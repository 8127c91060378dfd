using System.Globalization;
using System.Text;

namespace DataPlane.Guard.Qmp;

/// <summary>The RAM blocks that QEMU says it has, by name. Empty while nobody has said: then any name may be one. Thread-safe.</summary>
internal sealed class KnownBlocks
{
    /// <summary>A name has 255 bytes at most, and the numbers of a row less than as much again.</summary>
    private const int MaxRow = 512;

    private const int MaxBlocks = 4096;

    private volatile Dictionary<string, long> _lengths = [];

    internal bool IsKnown => _lengths.Count > 0;

    internal bool MayHave(ReadOnlySpan<byte> name, long offset)
    {
        Dictionary<string, long> lengths = _lengths;
        return lengths.Count == 0 || (lengths.TryGetValue(Encoding.UTF8.GetString(name), out long length) && offset < length);
    }

    /// <summary>
    /// Takes the table that QEMU prints for people (<c>info ramblock</c>); what cannot be read changes nothing. In one pass, and bounded: a
    /// QEMU that its guest has taken over may say anything.
    /// </summary>
    internal void Take(string table)
    {
        Dictionary<string, long> lengths = [];
        foreach (ReadOnlySpan<char> row in table.AsSpan().EnumerateLines())
        {
            if (row.Length <= MaxRow && lengths.Count < MaxBlocks && TryRead(row, out string name, out long total))
                lengths[name] = total;
        }

        if (lengths.Count > 0)
            _lengths = lengths;
    }

    /// <summary>
    /// Block Name, PSize, Offset, Used, Total, in newer versions more: names are aligned to the right and may have spaces, so a row is known
    /// by its first three hexadecimal numbers and read backwards from there.
    /// </summary>
    private static bool TryRead(ReadOnlySpan<char> row, out string name, out long total)
    {
        (name, total) = ("", 0);
        for (int at = row.IndexOf(" 0x"); at > 0;)
        {
            ReadOnlySpan<char> numbers = row[at..];
            if (TakeNumber(ref numbers, out _) && TakeNumber(ref numbers, out _) && TakeNumber(ref numbers, out total))
                return TryReadName(row[..at], out name);
            int next = row[(at + 1)..].IndexOf(" 0x");
            at = next < 0 ? -1 : at + 1 + next;
        }

        return false;
    }

    private static bool TryReadName(ReadOnlySpan<char> head, out string name)
    {
        ReadOnlySpan<char> text = head.Trim(' ');
        int unit = text.LastIndexOf(' ');
        int size = unit < 0 ? -1 : text[..unit].TrimEnd(' ').LastIndexOf(' ');
        name = size < 0 ? "" : text[..size].TrimEnd(' ').ToString();
        return size >= 0 && text[^1] == 'B' && name.Length > 0 && Encoding.UTF8.GetByteCount(name) <= byte.MaxValue;
    }

    private static bool TakeNumber(ref ReadOnlySpan<char> rest, out long number)
    {
        number = 0;
        ReadOnlySpan<char> text = rest.TrimStart(' ');
        if (!text.StartsWith("0x", StringComparison.Ordinal))
            return false;
        int end = text.IndexOf(' ') is >= 0 and var space ? space : text.Length;
        rest = text[end..];
        return long.TryParse(text[2..end], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number) && number >= 0;
    }
}
