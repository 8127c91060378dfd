using System.Collections;

namespace DataPlane.Admission;

/// <summary>
/// What the rules look at beside a connection's own bytes: what is expected, and what is established already. Changed by the admission
/// thread only.
/// </summary>
internal sealed class AdmissionFacts(AdmissionOptions options)
{
    private readonly BitArray _taken = new(options.MultifdChannels);

    // Boxed, because hosts read it while the admission thread sets it: a reference cannot be seen half written.
    private volatile object? _uuid = options.Uuid;

    internal int MultifdChannels => options.MultifdChannels;

    internal bool HasMain { get; private set; }

    /// <summary>As configured, else the first one that was admitted, else unknown.</summary>
    internal Guid? Uuid => (Guid?)_uuid;

    internal bool IsTaken(int id) => _taken[id];

    internal void AddMain() => HasMain = true;

    internal void AddMultifd(int id, Guid uuid)
    {
        _taken[id] = true;
        _uuid ??= uuid;
    }
}
