using System.Text;

namespace DataPlane.Guard.Qmp;

/// <summary>The RAM blocks that QEMU reports, by name. While it is empty, any name may be a block. Thread-safe.</summary>
internal sealed class KnownBlocks
{
    private volatile Dictionary<string, long> _lengths = [];

    public bool IsKnown => _lengths.Count > 0;

    public bool MayHave(ReadOnlySpan<byte> name, long offset)
    {
        var lengths = _lengths;
        return lengths.Count == 0 || (lengths.TryGetValue(Encoding.UTF8.GetString(name), out var length) && offset < length);
    }

    /// <summary>Takes QEMU's table (<see cref="RamBlockTable"/>). A table without a row that can be read changes nothing.</summary>
    public void Take(string table)
    {
        Dictionary<string, long> lengths = [];
        foreach (var row in RamBlockTable.Parse(table))
        {
            lengths[row.Name] = row.TotalBytes;
        }

        if (lengths.Count > 0)
        {
            _lengths = lengths;
        }
    }
}
