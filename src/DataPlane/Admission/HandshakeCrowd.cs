namespace DataPlane.Admission;

/// <summary>The connections whose TLS handshakes are under way. Used by the admission thread only.</summary>
internal sealed class HandshakeCrowd
{
    private readonly Dictionary<string, LinkedList<UndecidedConnection>> _byPeer = [];
    private readonly Dictionary<UndecidedConnection, LinkedListNode<UndecidedConnection>> _nodes = [];

    internal int Count => _nodes.Count;

    internal void Add(UndecidedConnection connection)
    {
        if (!_byPeer.TryGetValue(connection.PeerGroup, out LinkedList<UndecidedConnection>? own))
            _byPeer.Add(connection.PeerGroup, own = []);
        _nodes.Add(connection, own.AddLast(connection));
    }

    /// <summary>Does nothing for one that is not in a handshake.</summary>
    internal void Remove(UndecidedConnection connection)
    {
        if (!_nodes.Remove(connection, out LinkedListNode<UndecidedConnection>? node))
            return;
        LinkedList<UndecidedConnection> own = node.List!;
        own.Remove(node);
        if (own.Count == 0)
            _byPeer.Remove(connection.PeerGroup);
    }

    /// <summary>
    /// Who must go because more than <paramref name="limit"/> are here: the oldest of the address that has most, and of main's own address
    /// only when there is no other. An honest peer is through within milliseconds, so the oldest is the likeliest to stall.
    /// </summary>
    internal UndecidedConnection? VictimBeyond(int limit, AdmissionFacts facts)
    {
        if (Count <= limit)
            return null;
        LinkedList<UndecidedConnection>? most = null;
        LinkedList<UndecidedConnection>? mains = null;
        foreach ((string peer, LinkedList<UndecidedConnection> list) in _byPeer)
        {
            if (facts.IsMainPeer(peer))
                mains = list;
            else if (most is null || list.Count > most.Count || (list.Count == most.Count && list.First!.Value.Key < most.First!.Value.Key))
                most = list;
        }

        return (most ?? mains)!.First!.Value;
    }
}
