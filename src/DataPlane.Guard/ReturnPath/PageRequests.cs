using System.Text;

namespace DataPlane.Guard.ReturnPath;

/// <summary>The pages that QEMU has asked the source for since its preempt channel has been missing. Thread-safe.</summary>
internal sealed class PageRequests
{
    /// <summary>
    /// The largest number of requests that are kept. A vCPU waits for one page at a time, so real numbers are far below it; it only bounds
    /// what a faulty QEMU costs.
    /// </summary>
    public const int MaxRequests = 1 << 16;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, HashSet<(long Start, long Length)>> _blocks = [];
    private readonly HashSet<long> _lengths = [];
    private HashSet<(long Start, long Length)>? _current;
    private int _count;

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _count;
            }
        }
    }

    /// <summary>Names the block to which the following requests without a name belong.</summary>
    public void Select(ReadOnlySpan<byte> blockName)
    {
        lock (_gate)
        {
            var name = Encoding.Latin1.GetString(blockName);
            if (!_blocks.TryGetValue(name, out _current))
            {
                _blocks.Add(name, _current = []);
            }
        }
    }

    public void Add(long start, long length)
    {
        lock (_gate)
        {
            if (_current is null || length == 0 || _count >= MaxRequests || !_current.Add((start, length)))
            {
                return;
            }

            _lengths.Add(length);
            _count++;
        }
    }

    /// <summary>Whether a page at <paramref name="offset"/> of the block has been asked for.</summary>
    public bool Contains(ReadOnlySpan<byte> blockName, long offset)
    {
        lock (_gate)
        {
            return _blocks.TryGetValue(Encoding.Latin1.GetString(blockName), out var requests)
                && _lengths.Any(length => requests.Contains((offset - (offset % length), length)));
        }
    }

    /// <summary>Forgets the requests. The current block stays, because QEMU names it only once.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            foreach (var requests in _blocks.Values)
            {
                requests.Clear();
            }

            _lengths.Clear();
            _count = 0;
        }
    }
}
