using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>
/// Remembers which addresses have lost connections for want of room lately: when a channel of the migration comes from one of them, another
/// of its channels may have been lost. Used by the admission thread only.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="kept">How long an address is remembered after its last loss.</param>
internal sealed class EvictionMemory(TimeProvider time, TimeSpan kept)
{
    /// <summary>
    /// The most addresses remembered, because strangers decide from how many addresses they connect. One more replaces the oldest.
    /// </summary>
    public const int MostAddresses = 256;

    private readonly Dictionary<PeerGroup, LinkedListNode<Entry>> _byAddress = [];
    private readonly LinkedList<Entry> _oldestFirst = [];

    public void Note(PeerGroup address, string peer)
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

    /// <summary>
    /// Returns how many connections of an address were given up since the last call for it, and the peer of the last of them, and forgets
    /// the address. The number is 0 when the last loss is too long ago.
    /// </summary>
    public (long Count, string Last) Take(PeerGroup address)
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

    private sealed class Entry(PeerGroup address)
    {
        public PeerGroup Address { get; } = address;

        public long Count { get; set; }

        public string Last { get; set; } = "";

        public long At { get; set; }
    }
}
