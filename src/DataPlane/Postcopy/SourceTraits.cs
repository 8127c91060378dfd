using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>What a source tells of itself by the PINGs of its package.</summary>
/// <param name="IsOurs">One of this library: it never takes a guest back, pauses whenever its link is lost, and comes again.</param>
/// <param name="HasPreempt">One of ours with a preempt channel. Nobody else tells.</param>
/// <param name="TakesBack">A QEMU from 10.2 on: it runs the guest again unless it has read PONG(0x42) when its link is lost.</param>
internal readonly record struct SourceTraits(bool IsOurs, bool HasPreempt, bool TakesBack)
{
    private static readonly Version s_listensAgainSince = new(8, 2);
    private static readonly Version s_takesBackSince = new(10, 2);

    /// <summary>
    /// Whether the machine type alone says that the source takes its guest back: it is at least as new as its machine type. An older one
    /// says nothing.
    /// </summary>
    public static bool DoTakeBack(Version? machine) => machine >= s_takesBackSince;

    /// <summary>
    /// Whether the machine type alone says that the source reads its return path again in a recovery after it has heard SHUT 1.
    /// </summary>
    public static bool DoListenAgain(Version? machine) => machine >= s_listensAgainSince;

    /// <summary>Up to 10.1 a QEMU sends PING(3) alone, later ones send both, ours never sends it.</summary>
    public static SourceTraits Of(IReadOnlyList<uint> pings)
    {
        var loaded = pings.Contains(PostcopyPackage.LoadedPing);
        var ours = loaded && pings.All(static ping => ping is PostcopyPackage.LoadedPing or PostcopyPackage.PreemptPing);
        return new SourceTraits(ours, ours && pings.Contains(PostcopyPackage.PreemptPing), loaded && !ours);
    }
}
