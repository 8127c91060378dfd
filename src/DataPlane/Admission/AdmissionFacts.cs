using System.Collections;
using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>
/// What the rules look at besides a connection's own bytes: what is expected, and what has been established. Only the admission thread
/// changes the facts.
/// </summary>
internal sealed class AdmissionFacts(AdmissionOptions options, IAdmissionHost host)
{
    private readonly BitArray _taken = new(options.MultifdChannels);
    private readonly HashSet<PeerGroup> _peers = [];

    // Boxed, because hosts read it while the admission thread sets it: a Guid can be read half written, a reference cannot.
    private volatile object? _uuid = options.Uuid;
    private int _multifd;
    private PeerGroup? _mainPeer;

    public IAdmissionHost Host => host;

    public int MultifdChannels => options.MultifdChannels;

    public bool ExpectsPreempt => options.Preempt;

    public bool ExpectsTls => options.TlsPassThrough || options.Upgrade is not null;

    public bool HasMain => _mainPeer is not null;

    public bool HasPreempt { get; private set; }

    /// <summary>
    /// The number of the current set of channels: how often <see cref="AdmissionRequests.StartAnew"/> had been called when it began.
    /// </summary>
    public int Epoch { get; private set; }

    /// <summary>
    /// Whether the migration has been paused since this set began. Then multifd channels and main channels with the magic are refused.
    /// </summary>
    public bool IsRecovery { get; private set; }

    /// <summary>
    /// The VM's UUID: as configured, else that of the first multifd channel admitted, else <see langword="null"/>. Any thread may read it.
    /// </summary>
    public Guid? Uuid => (Guid?)_uuid;

    public bool IsTaken(int id) => _taken[id];

    /// <summary>
    /// Whether a channel of this set (after a loss: of the new link) has come from this address. The other channels of the source come from
    /// there as well, and a main channel is silent until its multifd channels are connected.
    /// </summary>
    public bool IsOfMigration(PeerGroup peerGroup) => _peers.Contains(peerGroup);

    /// <summary>
    /// Whether a connection of this peer cannot be the preempt channel, whatever it sends, because main has come from another address.
    /// </summary>
    public bool IsForeign(PeerGroup peerGroup) => HasMain && !options.AnyPeer && _mainPeer != peerGroup;

    /// <summary>
    /// Whether only the preempt channel is missing and may come from this peer. A silent connection then has no deadline, because a preempt
    /// channel may never have anything to send.
    /// </summary>
    public bool AwaitsPreemptFrom(PeerGroup peerGroup) =>
        options.Preempt && !HasPreempt && HasMain && (IsRecovery || _multifd == options.MultifdChannels) && !IsForeign(peerGroup);

    public void AddMain(PeerGroup peerGroup, bool recovered)
    {
        _mainPeer = peerGroup;
        _peers.Add(peerGroup);
        IsRecovery |= recovered;
    }

    public void AddMultifd(int id, Guid uuid, PeerGroup peerGroup)
    {
        _peers.Add(peerGroup);
        _taken[id] = true;
        _multifd++;
        _uuid ??= uuid;
    }

    public void AddPreempt(PeerGroup peerGroup)
    {
        _peers.Add(peerGroup);
        HasPreempt = true;
    }

    /// <summary>Frees all places for another set of channels.</summary>
    public void BeginAnew(int epoch)
    {
        Epoch = epoch;
        _mainPeer = null;
        _peers.Clear();
        HasPreempt = false;
        IsRecovery = false;
        _taken.SetAll(false);
        _multifd = 0;
        _uuid = options.Uuid;
    }

    /// <summary>Frees the places of main and preempt.</summary>
    public void BeginRecovery()
    {
        _mainPeer = null;
        _peers.Clear(); // the source may have another address now, and in an earlier pause anyone who named a RAM block was admitted
        HasPreempt = false;
        IsRecovery = true;
    }
}
