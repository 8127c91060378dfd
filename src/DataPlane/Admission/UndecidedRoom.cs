using DataPlane.Linux;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// How many connections may be undecided, and the refusal of those for which there is no room. Used by the admission thread only.
/// </summary>
internal sealed class UndecidedRoom : IDisposable
{
    private readonly UndecidedSet _undecided;
    private readonly AdmissionFacts _facts;
    private readonly AdmissionOptions _options;
    private readonly Refusals _refusals;
    private readonly TimeProvider _time;
    private readonly DescriptorBudget.Share _descriptors;

    public UndecidedRoom(
        UndecidedSet undecided, AdmissionFacts facts, AdmissionOptions options, Refusals refusals, TimeProvider time, ILogger logger)
    {
        _undecided = undecided;
        _facts = facts;
        _options = options;
        _refusals = refusals;
        _time = time;
        _descriptors = DescriptorBudget.Process.Open(options.ReservedDescriptors);
        if (Limit < options.MaxUndecided)
        {
            AdmissionLog.FewDescriptors(logger, Limit, options.MaxUndecided);
        }
    }

    /// <summary>
    /// How many connections may be undecided: as configured, or fewer where descriptors are short, but never fewer than one migration has
    /// channels, which may all be undecided at once.
    /// </summary>
    private int Limit => (int)Math.Min(_options.MaxUndecided,
        Math.Max(_options.MultifdChannels + 2, _descriptors.ForStrangers / _options.DescriptorsPerUndecided));

    /// <summary>The connection that must go because <paramref name="newcomer"/> has come; null when there is room.</summary>
    public UndecidedConnection? VictimFor(UndecidedConnection newcomer) =>
        _undecided.VictimFor(newcomer.PeerGroup, _options, Limit, _facts);

    /// <summary>Refuses a connection for want of room.</summary>
    public void GiveUp(UndecidedConnection victim) => _refusals.Refuse(victim, RefusalReason.Evicted,
        $"no room: {_undecided.CountOf(victim.PeerGroup)} of its address were undecided where {_options.MaxUndecidedPerPeer} may be, "
        + $"{_undecided.Count} in all where {Limit} may be; it had come "
        + $"{_time.GetElapsedTime(victim.Accepted).TotalSeconds:0.###} s before");

    public void Dispose() => _descriptors.Dispose();
}
