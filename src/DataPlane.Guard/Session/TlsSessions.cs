using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>
/// The TLS sessions of a migration that the guard passes on unopened: those that wait to be introduced to QEMU, one at a time, and those
/// that were let in.
/// </summary>
/// <remarks>
/// Nobody can see which channel a session is. QEMU goes by the order of arrival, and a source opens the next session only when QEMU has
/// taken the one before as far as it matters. So the order of arrival is kept among the sessions of an address. Among addresses, that of
/// the first session that was let in comes first, then those whose handshakes have failed least.
/// </remarks>
internal sealed class TlsSessions(QemuTarget target, bool anyPeer)
{
    /// <summary>The largest number of sessions that wait; beyond it, the one whose turn would come last is dropped.</summary>
    public const int MaxWaiting = 256;

    /// <summary>The most addresses that are known to have failed. Strangers decide from how many addresses they come.</summary>
    public const int MaxFailed = 1 << 16;

    private readonly List<Waiting> _waiting = [];
    private readonly List<ChannelRelay> _in = [];
    private Dictionary<PeerGroup, int> _failed = [];
    private Dictionary<PeerGroup, int> _failedBefore = [];
    private PeerGroup? _address;
    private int _expected = 1 + target.Channels + (target.Preempt ? 1 : 0);

    /// <summary>A session whose whole ClientHello has been read.</summary>
    public sealed record Waiting(ChannelRelay Relay, ReadOnlyMemory<byte> Hello, PeerGroup Address);

    /// <summary>Whether QEMU has as many sessions as it expects.</summary>
    public bool IsComplete => _in.Count >= _expected;

    public int Count => _in.Count;

    /// <summary>Whether a session of this address may still be one of the migration.</summary>
    public bool MayCome(PeerGroup address) => !IsComplete && (_address is null || anyPeer || address == _address);

    /// <summary>Whether this is the address of the first session that was let in.</summary>
    public bool IsOwn(PeerGroup address) => address == _address;

    /// <summary>Adds a session that waits. Returns the session that must go because too many wait, or null.</summary>
    public ChannelRelay? Add(Waiting session)
    {
        _waiting.Add(session);
        if (_waiting.Count <= MaxWaiting)
        {
            return null;
        }

        var last = _waiting.MaxBy(w => Rank(w.Address))!; // the oldest among equals: newer ones are more likely to be still there
        _waiting.Remove(last);
        return last.Relay;
    }

    /// <summary>Takes the session whose turn it is; null when none waits.</summary>
    public Waiting? TakeNext()
    {
        var next = _waiting.MinBy(w => Rank(w.Address)); // the oldest among equals
        if (next is not null)
        {
            _waiting.Remove(next);
        }

        return next;
    }

    /// <summary>Takes all waiting sessions that can no longer belong to the migration.</summary>
    public List<ChannelRelay> TakeSurplus()
    {
        var surplus = _waiting.FindAll(w => !MayCome(w.Address));
        _waiting.RemoveAll(surplus.Contains);
        return [.. surplus.Select(w => w.Relay)];
    }

    public void LetIn(ChannelRelay relay, PeerGroup address)
    {
        _in.Add(relay);
        _address ??= address;
    }

    /// <summary>
    /// Ranks an address after the others because one of its handshakes has failed. When there are too many such addresses, half of them are
    /// forgotten: those that have not failed for the longest time.
    /// </summary>
    public void Blame(PeerGroup address)
    {
        var failures = FailuresOf(address) + 1;
        if (_failed.Count >= MaxFailed / 2 && !_failed.ContainsKey(address))
        {
            _failedBefore = _failed;
            _failed = [];
        }

        _failed[address] = failures;
    }

    /// <summary>Removes a session that is over, whether it was let in or waited.</summary>
    public void Remove(ChannelRelay relay)
    {
        _in.Remove(relay);
        _waiting.RemoveAll(w => w.Relay == relay);
    }

    /// <summary>Expects main and preempt anew, from any address; multifd channels do not count any more.</summary>
    public void ExpectRecovery()
    {
        _in.Clear();
        _address = null;
        _expected = 1 + (target.Preempt ? 1 : 0);
    }

    private int Rank(PeerGroup address) => address == _address ? -1 : FailuresOf(address);

    private int FailuresOf(PeerGroup address) =>
        _failed.TryGetValue(address, out var failures) ? failures : _failedBefore.GetValueOrDefault(address);
}
