namespace DataPlane.Admission;

/// <summary>
/// Which addresses have lost connections for want of room lately: when a channel of the migration comes from one of them, another of its
/// channels may have been among those. Used by the admission thread only.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="kept">How long a loss is remembered.</param>
internal sealed class EvictionMemory(TimeProvider time, TimeSpan kept)
{
    /// <summary>Strangers decide from how many addresses they come.</summary>
    internal const int MostAddresses = 256;

    private readonly Dictionary<string, LinkedListNode<Entry>> _byAddress = [];
    private readonly LinkedList<Entry> _oldestFirst = [];

    internal void Note(string address, string peer)
    {
        if (!_byAddress.TryGetValue(address, out var node))
        {
            if (_byAddress.Count == MostAddresses)
            {
                Forget(_oldestFirst.First!);
            }

            node = _oldestFirst.AddLast(new Entry(address));
            _byAddress.Add(address, node);
        }

        node.Value.Count++;
        node.Value.Last = peer;
        node.Value.At = time.GetTimestamp();
    }

    /// <summary>How many connections of an address were given up since this was last asked, and the last of them; 0 when it is long ago.</summary>
    internal (long Count, string Last) Take(string address)
    {
        if (!_byAddress.TryGetValue(address, out var node))
        {
            return (0, "");
        }

        Forget(node);
        return time.GetElapsedTime(node.Value.At) <= kept ? (node.Value.Count, node.Value.Last) : (0, "");
    }

    private void Forget(LinkedListNode<Entry> node)
    {
        _oldestFirst.Remove(node);
        _byAddress.Remove(node.Value.Address);
    }

    private sealed class Entry(string address)
    {
        internal string Address { get; } = address;

        internal long Count { get; set; }

        internal string Last { get; set; } = "";

        internal long At { get; set; }
    }
}
