namespace DataPlane.Admission;

/// <summary>The undecided connections of one peer address, oldest first. Used by the admission thread only.</summary>
/// <param name="peerGroup">The address.</param>
/// <param name="need">Channels of one migration, which may all be undecided at once.</param>
internal sealed class PeerCrowd(string peerGroup, int need)
{
    private readonly LinkedList<UndecidedConnection> _silent = [];
    private readonly LinkedList<UndecidedConnection> _speaking = [];

    internal string PeerGroup { get; } = peerGroup;

    internal int Count => _silent.Count + _speaking.Count;

    /// <summary>
    /// How much it crowds the others out. A source with all of its channels counts no more than one connection does: else it would pay
    /// among many addresses that hold one each.
    /// </summary>
    internal int Weight => Math.Max(Count, need);

    /// <summary>Silent ones may wait at least until then, whatever their own deadline was.</summary>
    internal long SilentUntil { get; set; }

    /// <summary>How many were given up for want of room since a channel was last admitted from here.</summary>
    internal long Evicted { get; private set; }

    /// <summary>The last of those, with its port.</summary>
    internal string LastEvicted { get; private set; } = "";

    /// <summary>
    /// Who goes when one must. Strangers at the source's own address may be silent or may say a part of a proof, and neither of the two may
    /// cost the source its connection of the other kind. So the kind that is more numerous pays, the oldest first, and as many silent ones
    /// as a source may have never pay while there are others. <see langword="null"/> only when it is empty.
    /// </summary>
    internal UndecidedConnection? Victim =>
        (_speaking.Count > 0 && _silent.Count <= Math.Max(need, _speaking.Count) ? _speaking : _silent).First?.Value;

    internal void Add(UndecidedConnection connection) => _silent.AddLast(connection.InCrowd);

    internal void Remove(UndecidedConnection connection) => connection.InCrowd.List!.Remove(connection.InCrowd);

    internal void BeginToSpeak(UndecidedConnection connection)
    {
        Remove(connection);
        _speaking.AddLast(connection.InCrowd);
    }

    internal void NoteEvicted(UndecidedConnection connection) => (Evicted, LastEvicted) = (Evicted + 1, connection.Peer);

    /// <summary>How many were given up so far; counts anew after this.</summary>
    internal long TakeEvicted()
    {
        long evicted = Evicted;
        Evicted = 0;
        return evicted;
    }

    /// <summary>The heaviest first; of several as heavy, the one whose next to go is the oldest. None may be empty.</summary>
    internal sealed class BySize : IComparer<PeerCrowd>
    {
        public int Compare(PeerCrowd? x, PeerCrowd? y) =>
            x!.Weight != y!.Weight ? y.Weight.CompareTo(x.Weight) : x.Victim!.Key.CompareTo(y.Victim!.Key);
    }
}
