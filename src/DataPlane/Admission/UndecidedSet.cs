using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace DataPlane.Admission;

/// <summary>
/// All undecided connections: by key, by deadline, and by peer. Every operation is constant time but the choice of a victim, which looks at
/// each peer once. Used by the admission thread only.
/// </summary>
internal sealed class UndecidedSet
{
    private readonly Dictionary<ulong, UndecidedConnection> _byKey = [];

    // All have the same timeout, so whoever comes or is re-armed last is due last: the list stays in order by appending.
    private readonly LinkedList<UndecidedConnection> _byDeadline = [];
    private readonly Dictionary<string, LinkedList<UndecidedConnection>> _byPeer = [];

    internal int Count => _byKey.Count;

    /// <summary>The connection that is due first.</summary>
    internal UndecidedConnection? First => _byDeadline.First?.Value;

    internal bool TryGet(ulong key, [NotNullWhen(true)] out UndecidedConnection? connection) => _byKey.TryGetValue(key, out connection);

    internal void Add(UndecidedConnection connection, long deadline)
    {
        connection.Deadline = deadline;
        _byKey.Add(connection.Key, connection);
        _byDeadline.AddLast(connection.InDeadlineOrder);
        ref LinkedList<UndecidedConnection>? peers = ref CollectionsMarshal.GetValueRefOrAddDefault(_byPeer, connection.PeerGroup, out _);
        (peers ??= []).AddLast(connection.InPeerOrder);
    }

    internal void Remove(UndecidedConnection connection)
    {
        _byKey.Remove(connection.Key);
        _byDeadline.Remove(connection.InDeadlineOrder);
        LinkedList<UndecidedConnection> peers = _byPeer[connection.PeerGroup];
        peers.Remove(connection.InPeerOrder);
        if (peers.Count == 0)
            _byPeer.Remove(connection.PeerGroup);
    }

    /// <summary>Gives every connection of a peer the whole time again.</summary>
    internal void Rearm(string peerGroup, long deadline)
    {
        if (!_byPeer.TryGetValue(peerGroup, out LinkedList<UndecidedConnection>? peers))
            return;
        foreach (UndecidedConnection connection in peers)
        {
            connection.Deadline = deadline;
            _byDeadline.Remove(connection.InDeadlineOrder);
            _byDeadline.AddLast(connection.InDeadlineOrder);
        }
    }

    /// <summary>
    /// Who must go now that one more connection of <paramref name="peerGroup"/> is in the set; nobody within the limits. Of several
    /// addresses that hold most, the one that holds the oldest.
    /// </summary>
    internal UndecidedConnection? VictimFor(string peerGroup, AdmissionOptions options)
    {
        LinkedList<UndecidedConnection> own = _byPeer[peerGroup];
        if (own.Count > options.MaxUndecidedPerPeer)
            return OldestSilent(own);
        return Count > options.MaxUndecided
            ? OldestSilent(_byPeer.Values.MaxBy(p => (p.Count, ulong.MaxValue - p.First!.Value.Key))!) : null;
    }

    private static UndecidedConnection OldestSilent(LinkedList<UndecidedConnection> peers) =>
        peers.FirstOrDefault(c => c.IsSilent) ?? peers.First!.Value;
}
