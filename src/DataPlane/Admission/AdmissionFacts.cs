using System.Collections;

namespace DataPlane.Admission;

/// <summary>
/// What the rules look at beside a connection's own bytes: what is expected, and what is established already. Changed by the admission
/// thread only.
/// </summary>
internal sealed class AdmissionFacts(AdmissionOptions options, IAdmissionContext context)
{
    private readonly BitArray _taken = new(options.MultifdChannels);
    private readonly HashSet<string> _peers = [];

    // Boxed, because hosts read it while the admission thread sets it: a reference cannot be seen half written.
    private volatile object? _uuid = options.Uuid;
    private int _recoveriesAsked;
    private int _recoveriesKnown;
    private int _epochAsked;
    private int _multifd;
    private string? _mainPeer;

    internal IAdmissionContext Context => context;

    internal int MultifdChannels => options.MultifdChannels;

    internal bool ExpectsPreempt => options.Preempt;

    internal bool ExpectsTls => options.TlsPassThrough || options.Upgrade is not null;

    internal bool HasMain => _mainPeer is not null;

    internal bool HasPreempt { get; private set; }

    /// <summary>Counts the sets of channels: how often all places have been freed.</summary>
    internal int Epoch { get; private set; }

    /// <summary>The migration has been paused at least once: multifd channels and the magic have had their time.</summary>
    internal bool IsRecovery { get; private set; }

    /// <summary>As configured, else the first one that was admitted, else unknown.</summary>
    internal Guid? Uuid => (Guid?)_uuid;

    internal bool IsTaken(int id) => _taken[id];

    /// <summary>
    /// Whether a channel of this set, or of this link since a loss, has come from there: the others of the source come from there as well,
    /// and a main channel is silent until its multifd channels are connected.
    /// </summary>
    internal bool IsOfMigration(string peerGroup) => _peers.Contains(peerGroup);

    /// <summary>Whether a connection of this peer cannot be the preempt channel, whatever it says.</summary>
    internal bool IsForeign(string peerGroup) => HasMain && !options.AnyPeer && _mainPeer != peerGroup;

    /// <summary>Whether nothing but the preempt channel is missing, and this peer may bring it: its silence is legal for ever.</summary>
    internal bool AwaitsPreemptFrom(string peerGroup) =>
        options.Preempt && !HasPreempt && HasMain && (IsRecovery || _multifd == options.MultifdChannels) && !IsForeign(peerGroup);

    internal void AddMain(string peerGroup, bool recovered)
    {
        _mainPeer = peerGroup;
        _peers.Add(peerGroup);
        IsRecovery |= recovered;
    }

    internal void AddMultifd(int id, Guid uuid, string peerGroup)
    {
        _peers.Add(peerGroup);
        _taken[id] = true;
        _multifd++;
        _uuid ??= uuid;
    }

    internal void AddPreempt(string peerGroup)
    {
        _peers.Add(peerGroup);
        HasPreempt = true;
    }

    /// <summary>Any thread.</summary>
    internal void AskRecovery() => Interlocked.Increment(ref _recoveriesAsked);

    /// <summary>Any thread. The epoch of what is admitted from now on.</summary>
    internal int AskAnew() => Interlocked.Increment(ref _epochAsked);

    /// <summary>
    /// Frees all places if that was asked for since the last call. Looked at before each decision, as <see cref="TryBeginRecovery"/>.
    /// </summary>
    internal bool TryBeginAnew()
    {
        var asked = Volatile.Read(ref _epochAsked);
        if (asked == Epoch)
        {
            return false;
        }

        Epoch = asked;
        _mainPeer = null;
        _peers.Clear();
        HasPreempt = false;
        IsRecovery = false;
        _taken.SetAll(false);
        _multifd = 0;
        _uuid = options.Uuid;
        return true;
    }

    /// <summary>
    /// Frees the places of main and preempt if that was asked for since the last call. Looked at before each decision, so that bytes which
    /// come after the host's call are judged by the new facts.
    /// </summary>
    internal bool TryBeginRecovery()
    {
        var asked = Volatile.Read(ref _recoveriesAsked);
        if (asked == _recoveriesKnown)
        {
            return false;
        }

        _recoveriesKnown = asked;
        _mainPeer = null;
        _peers.Clear(); // the source may come from another address, and whoever named a RAM block in the pause before has been let in
        HasPreempt = false;
        IsRecovery = true;
        return true;
    }
}
