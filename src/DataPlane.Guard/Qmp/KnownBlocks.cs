using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace DataPlane.Guard.Qmp;

/// <summary>The RAM blocks that QEMU says it has, by name. Empty while nobody has said: then any name may be one. Thread-safe.</summary>
internal sealed partial class KnownBlocks
{
    private volatile Dictionary<string, long> _lengths = [];

    internal bool IsKnown => _lengths.Count > 0;

    internal bool MayHave(ReadOnlySpan<byte> name, long offset)
    {
        Dictionary<string, long> lengths = _lengths;
        return lengths.Count == 0 || (lengths.TryGetValue(Encoding.UTF8.GetString(name), out long length) && offset < length);
    }

    /// <summary>Takes the table that QEMU prints for people (<c>info ramblock</c>); what cannot be read changes nothing.</summary>
    internal void Take(string table)
    {
        Dictionary<string, long> lengths = [];
        foreach (Match row in Row().Matches(table))
        {
            if (long.TryParse(row.Groups["total"].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out long total))
                lengths[row.Groups["name"].Value] = total;
        }

        if (lengths.Count > 0)
            _lengths = lengths;
    }

    // Block Name    PSize    Offset    Used    Total, in newer versions more: names are aligned to the right and may have spaces.
    [GeneratedRegex(@"^[ ]*(?<name>\S.*?)[ ]+\S+[ ]\w*B[ ]+0x[0-9a-f]+[ ]+0x[0-9a-f]+[ ]+0x(?<total>[0-9a-f]+)",
        RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex Row();
}
