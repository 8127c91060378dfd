using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>The undecided connections of one peer address, oldest first. Used by the admission thread only.</summary>
/// <param name="peerGroup">The address.</param>
/// <param name="need">Channels of one migration, which may all be undecided at once.</param>
internal sealed class PeerCrowd(PeerGroup peerGroup, int need)
{
    private readonly LinkedList<UndecidedConnection> _all = [];
    private readonly LinkedList<UndecidedConnection> _silent = [];
    private readonly LinkedList<UndecidedConnection> _speaking = [];

    public PeerGroup PeerGroup { get; } = peerGroup;

    public int Count => _all.Count;

    /// <summary>
    /// How much the address crowds the others out. A source with all of its channels counts no more than an address with one connection:
    /// otherwise it would pay among many addresses that hold one connection each.
    /// </summary>
    public int Weight => Math.Max(Count, need);

    /// <summary>The timestamp until which silent connections of this address may wait at least, whatever their own deadlines are.</summary>
    public long SilentUntil { get; set; }

    /// <summary>The key of the oldest connection of this address. Keys grow with each connection.</summary>
    public ulong Age => _all.First!.Value.Key;

    /// <summary>
    /// The connection that goes when this address must give one up; <see langword="null"/> only when it has none. Strangers at the source's
    /// own address may be silent or may send a part of a proof, and neither may cost the source its connection of the other kind. So the
    /// kind that is more numerous pays, the oldest connection first, and as many silent connections as a source may have never pay while
    /// there are others.
    /// </summary>
    public UndecidedConnection? Victim =>
        (_speaking.Count > 0 && _silent.Count <= Math.Max(need, _speaking.Count) ? _speaking : _silent).First?.Value;

    public void Add(UndecidedConnection connection)
    {
        _all.AddLast(connection.InCrowd);
        _silent.AddLast(connection.InKind);
    }

    public void Remove(UndecidedConnection connection)
    {
        _all.Remove(connection.InCrowd);
        connection.InKind.List!.Remove(connection.InKind);
    }

    public void BeginToSpeak(UndecidedConnection connection)
    {
        _silent.Remove(connection.InKind);
        _speaking.AddLast(connection.InKind);
    }

    /// <summary>
    /// Orders addresses by weight, the heaviest first; of equal ones, the one with the oldest connection comes first. None may be empty.
    /// </summary>
    public sealed class BySize : IComparer<PeerCrowd>
    {
        public int Compare(PeerCrowd? x, PeerCrowd? y) =>
            x!.Weight != y!.Weight ? y.Weight.CompareTo(x.Weight) : x.Age.CompareTo(y.Age);
    }
}
