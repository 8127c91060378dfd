namespace DataPlane.Admission;

/// <summary>The undecided connections of one peer address, oldest first. Used by the admission thread only.</summary>
internal sealed class PeerCrowd(string peerGroup)
{
    private readonly LinkedList<UndecidedConnection> _silent = [];
    private readonly LinkedList<UndecidedConnection> _speaking = [];

    internal string PeerGroup { get; } = peerGroup;

    internal int Count => _silent.Count + _speaking.Count;

    /// <summary>Silent ones may wait at least until then, whatever their own deadline was.</summary>
    internal long SilentUntil { get; set; }

    /// <summary>Who goes when one must: the oldest silent one. <see langword="null"/> only when it is empty.</summary>
    internal UndecidedConnection? Victim => (_silent.First ?? _speaking.First)?.Value;

    internal void Add(UndecidedConnection connection) => _silent.AddLast(connection.InCrowd);

    internal void Remove(UndecidedConnection connection) => connection.InCrowd.List!.Remove(connection.InCrowd);

    internal void BeginToSpeak(UndecidedConnection connection)
    {
        Remove(connection);
        _speaking.AddLast(connection.InCrowd);
    }

    /// <summary>Most connections first; of several with as many, the one that holds the oldest. None may be empty.</summary>
    internal sealed class BySize : IComparer<PeerCrowd>
    {
        public int Compare(PeerCrowd? x, PeerCrowd? y) =>
            x!.Count != y!.Count ? y.Count.CompareTo(x.Count) : x.Victim!.Key.CompareTo(y.Victim!.Key);
    }
}
