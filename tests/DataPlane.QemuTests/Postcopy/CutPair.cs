using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Postcopy;

/// <summary>A QEMU, with or without a preempt channel, and what a link to it may suffer so that it can still recover.</summary>
internal sealed record CutPair(QemuVersion Version, bool Preempt)
{
    /// <summary>An attempt to recover may fail (from 8.2 on); an older one dies of that.</summary>
    public bool RepeatsRecovery => Version.Major > 7;

    public MigrationSettings Settings => new()
    {
        Capabilities = Preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"],
    };

    public static CutPair Parse(string label, bool preempt) => new(QemuVersion.Parse(label), preempt);

    /// <summary>One to three cuts; most runs have the guest at the destination when the first comes.</summary>
    /// <param name="seed">Chooses.</param>
    /// <param name="first">When the first may come.</param>
    /// <param name="later">When others may come, besides a recovery where it may fail.</param>
    public CutCase Choose(int seed, CutMoment[] first, CutMoment[] later)
    {
        var random = new Random(seed);
        List<CutMoment> moments = [random.GetItems(first, 1)[0]];
        var all = RepeatsRecovery ? [.. later, CutMoment.Recovery, CutMoment.Recovery] : later;
        for (var more = random.Next(3); more > 0; more--)
        {
            moments.Add(random.GetItems(all, 1)[0]);
        }
        // A QEMU 7.2 that loses its preempt channel after the end of main waits for that channel's end for ever, and refuses migrate-pause.
        if (Preempt && Version == QemuVersion.V72)
        {
            moments = moments.ConvertAll(static moment => moment == CutMoment.End ? CutMoment.Background : moment);
        }

        return new CutCase(seed, Preempt, 0, Shared: false, [.. moments.Select(moment => ChooseCut(random, moment))]);
    }

    private LinkCut ChooseCut(Random random, CutMoment moment)
    {
        // A network that takes seconds to be noticed lets the end of the stream through, and with QEMU the end is final. A preempt channel
        // that is lost alone when main has ended leaves a QEMU waiting for pages that nobody sends again.
        var cut = LinkCut.Choose(random, moment, channels: 0, Preempt) with { Notice = (CutNotice)random.Next(2) };
        return cut.Target == CutTarget.Last ? cut with { Target = CutTarget.All } : cut;
    }

    public override string ToString() => $"{Version}{(Preempt ? " preempt" : "")}";
}
