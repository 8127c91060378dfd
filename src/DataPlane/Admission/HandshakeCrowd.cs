using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>The connections whose TLS handshakes are under way. Used by the admission thread only.</summary>
internal sealed class HandshakeCrowd
{
    private readonly Dictionary<PeerGroup, LinkedList<UndecidedConnection>> _byPeer = [];
    private readonly Dictionary<UndecidedConnection, LinkedListNode<UndecidedConnection>> _nodes = [];

    public int Count => _nodes.Count;

    public void Add(UndecidedConnection connection)
    {
        if (!_byPeer.TryGetValue(connection.PeerGroup, out var own))
        {
            _byPeer.Add(connection.PeerGroup, own = []);
        }

        _nodes.Add(connection, own.AddLast(connection));
    }

    /// <summary>Removes a connection if its handshake is under way; otherwise does nothing.</summary>
    public void Remove(UndecidedConnection connection)
    {
        if (!_nodes.Remove(connection, out var node))
        {
            return;
        }

        var own = node.List!;
        own.Remove(node);
        if (own.Count == 0)
        {
            _byPeer.Remove(connection.PeerGroup);
        }
    }

    /// <summary>
    /// The connection whose handshake must be given up because more than <paramref name="limit"/> are under way, else
    /// <see langword="null"/>. It is the oldest of the address that has the most, among the addresses that have more than a source needs. A
    /// crowd from many addresses with few handshakes each has no such address. Then the oldest of all goes: an honest peer is through
    /// within milliseconds, so the oldest is the likeliest to stall. Addresses that have brought channels of the migration pay only when
    /// there is no other, and then the one that has the most.
    /// </summary>
    /// <param name="limit">How many handshakes may be under way.</param>
    /// <param name="need">The number of channels of one migration, which may all come at once from one address.</param>
    /// <param name="facts">Knows the addresses of the migration.</param>
    public UndecidedConnection? VictimBeyond(int limit, int need, AdmissionFacts facts)
    {
        if (Count <= limit)
        {
            return null;
        }

        LinkedList<UndecidedConnection>? most = null;
        LinkedList<UndecidedConnection>? oldest = null;
        LinkedList<UndecidedConnection>? own = null;
        foreach ((var peer, var list) in _byPeer)
        {
            if (facts.IsOfMigration(peer))
            {
                if (own is null || list.Count > own.Count)
                {
                    own = list;
                }

                continue;
            }

            if (list.Count > need && (most is null || list.Count > most.Count || (list.Count == most.Count && IsOlder(list, most))))
            {
                most = list;
            }

            if (oldest is null || IsOlder(list, oldest))
            {
                oldest = list;
            }
        }

        return (most ?? oldest ?? own)!.First!.Value;
    }

    private static bool IsOlder(LinkedList<UndecidedConnection> one, LinkedList<UndecidedConnection> other) =>
        one.First!.Value.Key < other.First!.Value.Key;
}
