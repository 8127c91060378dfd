using System.Diagnostics.CodeAnalysis;

namespace DataPlane.Wire;

/// <summary>
/// Adds up the entries of a block list, which is complete exactly when their lengths reach the total of MEM_SIZE. It refuses repeated names
/// and excess before anyone allocates memory for them.
/// </summary>
internal sealed class RamBlockList
{
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly List<RamBlockEntry> _entries = [];

    private RamBlockList(long totalBytes) => RemainingBytes = totalBytes;

    public long RemainingBytes { get; private set; }

    public bool IsComplete => RemainingBytes == 0;

    public IReadOnlyList<RamBlockEntry> Entries => _entries;

    public static bool TryBegin(
        long totalBytes, long maxTotalBytes, [NotNullWhen(true)] out RamBlockList? list, [NotNullWhen(false)] out string? error)
    {
        list = null;
        error = null;
        if (totalBytes <= 0)
        {
            error = "the stream announces no RAM";
        }
        else if (totalBytes > maxTotalBytes)
        {
            error = $"the stream announces {totalBytes} bytes of RAM, allowed are {maxTotalBytes}";
        }
        else
        {
            list = new RamBlockList(totalBytes);
        }

        return list is not null;
    }

    public bool TryAdd(RamBlockEntry entry, out string? error)
    {
        error = null;
        if (_entries.Count == WireLimits.MaxRamBlocks)
        {
            error = $"more than {WireLimits.MaxRamBlocks} RAM blocks";
        }
        else if (entry.Length <= 0 || entry.Length > RemainingBytes)
        {
            error = $"RAM block '{entry.Name}' has {entry.Length} bytes, but {RemainingBytes} bytes of the announced total are left";
        }
        else if (!_names.Add(entry.Name))
        {
            error = $"RAM block '{entry.Name}' is listed twice";
        }

        if (error is not null)
        {
            return false;
        }

        _entries.Add(entry);
        RemainingBytes -= entry.Length;
        return true;
    }
}
