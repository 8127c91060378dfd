using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>What the PINGs of its package tell about a source.</summary>
/// <param name="IsOurs">
/// Whether the source uses this library: it never takes a guest back, pauses whenever its link is lost, and recovers.
/// </param>
/// <param name="HasPreempt">Whether the source uses this library and has a preempt channel. QEMU does not tell.</param>
/// <param name="TakesBack">
/// Whether the source is a QEMU from 10.2 on: it runs the guest again if its link is lost before it has read PONG(0x42).
/// </param>
internal readonly record struct SourceTraits(bool IsOurs, bool HasPreempt, bool TakesBack)
{
    /// <summary>
    /// Returns the traits of the source that sent <paramref name="pings"/>. A QEMU up to 10.1 sends PING(3) alone, a later one PING(3) and
    /// PING(0x42), and this library never sends PING(3).
    /// </summary>
    public static SourceTraits Of(IReadOnlyList<uint> pings)
    {
        var loaded = pings.Contains(PostcopyPackage.LoadedPing);
        var ours = loaded && pings.All(static ping => ping is PostcopyPackage.LoadedPing or PostcopyPackage.PreemptPing);
        return new SourceTraits(ours, ours && pings.Contains(PostcopyPackage.PreemptPing), loaded && !ours);
    }
}
