using System.Diagnostics.CodeAnalysis;
using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>
/// All undecided connections: by key, by deadline, and by peer. No operation but <see cref="EndCandidacies"/>, <see cref="HasOpen"/> and
/// <see cref="Snapshot"/> grows with their number by more than its logarithm. Used by the admission thread only, except for the last two.
/// </summary>
/// <param name="need">The number of channels of one migration, which may all be undecided at once.</param>
internal sealed class UndecidedSet(int need)
{
    private readonly Lock _gate = new(); // guards changes of _byKey against readers on other threads
    private readonly Dictionary<ulong, UndecidedConnection> _byKey = [];
    private readonly DeadlineHeap _byDeadline = new();
    private readonly Dictionary<PeerGroup, PeerCrowd> _byPeer = [];
    private readonly SortedSet<PeerCrowd> _bySize = new(new PeerCrowd.BySize());
    private readonly LinkedList<UndecidedConnection> _records = [];

    public int Count => _byKey.Count;

    /// <summary>The connection with the earliest deadline; <see langword="null"/> if there is none.</summary>
    public UndecidedConnection? First => _byDeadline.First;

    /// <summary>
    /// The connections that began with a page record, a recovery command or the magic of main: what other connections send or what the host
    /// learns may decide them. The latest comes first, because a source that recovers connects after the loss of its link, and a stranger
    /// may have connected earlier to wait for that.
    /// </summary>
    public UndecidedConnection[] Records => [.. _records];

    public bool HasRecords => _records.Count > 0;

    public bool TryGet(ulong key, [NotNullWhen(true)] out UndecidedConnection? connection) => _byKey.TryGetValue(key, out connection);

    public bool Contains(UndecidedConnection connection) => _byKey.ContainsKey(connection.Key);

    public void Add(UndecidedConnection connection, long deadline)
    {
        lock (_gate)
        {
            _byKey.Add(connection.Key, connection);
        }

        connection.Deadline = deadline;
        _byDeadline.Add(connection);
        if (!_byPeer.TryGetValue(connection.PeerGroup, out var crowd))
        {
            _byPeer.Add(connection.PeerGroup, crowd = new PeerCrowd(connection.PeerGroup, need));
        }
        else
        {
            _bySize.Remove(crowd);
        }

        crowd.Add(connection);
        _bySize.Add(crowd);
    }

    public void Remove(UndecidedConnection connection)
    {
        lock (_gate)
        {
            _byKey.Remove(connection.Key);
        }

        _byDeadline.Remove(connection);
        connection.InRecords?.List?.Remove(connection.InRecords);
        var crowd = _byPeer[connection.PeerGroup];
        _bySize.Remove(crowd);
        crowd.Remove(connection);
        if (crowd.Count == 0)
        {
            _byPeer.Remove(connection.PeerGroup);
        }
        else
        {
            _bySize.Add(crowd);
        }
    }

    /// <summary>Notes that the first bytes of a connection have come, and sets the deadline for its proof.</summary>
    public void BeginToSpeak(UndecidedConnection connection, long deadline)
    {
        var crowd = _byPeer[connection.PeerGroup];
        _bySize.Remove(crowd);
        crowd.BeginToSpeak(connection);
        _bySize.Add(crowd);
        Defer(connection, deadline);
        if (RecordOpening.MayBe(connection.Opening) || RecoveryOpening.MayBe(connection.Opening)
            || MainOpening.MayBe(connection.Opening))
        {
            connection.InRecords = _records.AddFirst(connection);
        }
    }

    /// <summary>Sets another deadline for a connection; <see cref="long.MaxValue"/> means none.</summary>
    public void Defer(UndecidedConnection connection, long deadline) => _byDeadline.Change(connection, deadline);

    /// <summary>
    /// Lets the silent connections of a peer wait until <paramref name="deadline"/> at least; they notice when their own deadline ends.
    /// </summary>
    public void Rearm(PeerGroup peerGroup, long deadline)
    {
        if (_byPeer.TryGetValue(peerGroup, out var crowd))
        {
            crowd.SilentUntil = deadline;
        }
    }

    public long SilentUntil(UndecidedConnection connection) => _byPeer[connection.PeerGroup].SilentUntil;

    /// <summary>
    /// Sets a deadline for the connections that have none, except for main channels: those wait for what becomes of the one before them.
    /// </summary>
    public void EndCandidacies(long deadline)
    {
        foreach (var connection in _byKey.Values)
        {
            if (connection.Deadline == long.MaxValue && !MainOpening.MayBe(connection.Opening))
            {
                Defer(connection, deadline);
            }
        }
    }

    /// <summary>
    /// The connection that must go now that one more connection of <paramref name="peerGroup"/> is in the set; <see langword="null"/>
    /// within the limits. Beyond the limit of one address that address pays. Beyond the limit in all (<paramref name="maxUndecided"/>) the
    /// address that holds the most pays, if that is more than a migration has channels; else the one that holds the oldest connection.
    /// Addresses that have brought channels of the migration pay only when there is no other, or when they hold more than half of the room:
    /// a stranger may have brought a channel, and strangers may share the source's address.
    /// </summary>
    public UndecidedConnection? VictimFor(PeerGroup peerGroup, AdmissionOptions options, int maxUndecided, AdmissionFacts facts)
    {
        var own = _byPeer[peerGroup];
        if (own.Count > options.MaxUndecidedPerPeer)
        {
            return own.Victim;
        }

        if (Count <= maxUndecided)
        {
            return null;
        }

        var spared = 0;
        foreach (var crowd in _bySize)
        {
            if (!facts.IsOfMigration(crowd.PeerGroup))
            {
                return crowd.Victim;
            }

            spared += crowd.Count;
            if (spared > maxUndecided / 2)
            {
                break;
            }
        }

        return _bySize.Min!.Victim;
    }

    public int CountOf(PeerGroup peerGroup) => _byPeer[peerGroup].Count;

    /// <summary>
    /// Whether a connection is there that may still become any channel by what it sends, so one that is not held: from
    /// <paramref name="peer"/>, or from anywhere if that is <see langword="null"/>. Any thread may call it.
    /// </summary>
    public bool HasOpen(PeerGroup? peer)
    {
        lock (_gate)
        {
            foreach (var connection in _byKey.Values)
            {
                if ((peer is null || connection.PeerGroup == peer) && !connection.IsWaitingForHost())
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Describes all undecided connections. Any thread may call it.</summary>
    public List<UndecidedInfo> Snapshot(TimeProvider time)
    {
        lock (_gate)
        {
            List<UndecidedInfo> all = new(_byKey.Count);
            foreach (var connection in _byKey.Values)
            {
                all.Add(connection.Describe(time));
            }

            return all;
        }
    }
}
