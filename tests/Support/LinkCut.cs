using System.Globalization;

namespace DataPlane.TestSupport;

/// <summary>When the link is cut.</summary>
internal enum CutMoment
{
    Setup,
    Precopy,

    /// <summary>From the moment at which the guest stands still at its source.</summary>
    Package,

    /// <summary>While the destination says that it has the guest.</summary>
    Confirmation,

    Background,

    /// <summary>When all pages have left.</summary>
    End,

    /// <summary>While the link that replaces a lost one is being taken into use.</summary>
    Recovery,
}

internal enum CutKind
{
    Reset,

    /// <summary>A black hole in both directions.</summary>
    Silence,

    /// <summary>A black hole in one direction.</summary>
    OneWay,
}

/// <summary>Which connections are hit.</summary>
internal enum CutTarget
{
    All,
    Main,

    /// <summary>The last that was opened: the preempt channel where there is one.</summary>
    Last,
}

/// <summary>Who finds out about a black hole.</summary>
internal enum CutNotice
{
    /// <summary>Each end by itself, some time later: what keep-alive probes do.</summary>
    Network,

    /// <summary>Somebody who pauses both sides.</summary>
    Operator,

    /// <summary>The source's kernel, because nothing is acknowledged (UserTimeout).</summary>
    UserTimeout,
}

/// <summary>One cut.</summary>
/// <param name="Moment">When.</param>
/// <param name="Kind">What happens.</param>
/// <param name="Target">To which connections.</param>
/// <param name="Connection">The connection whose bytes are counted, in order of arrival since the last recovery.</param>
/// <param name="Backward">Counts what the destination says; one way: that is what is lost.</param>
/// <param name="Offset">The byte, where the moment is one of bytes.</param>
/// <param name="Share">Where the moment is one of progress: the share of the memory that is still at the source.</param>
/// <param name="Notice">Who finds out.</param>
/// <param name="After">How long that takes.</param>
internal sealed record LinkCut(
    CutMoment Moment,
    CutKind Kind,
    CutTarget Target,
    int Connection,
    bool Backward,
    long Offset,
    double Share,
    CutNotice Notice,
    TimeSpan After)
{
    /// <summary>Is decided by the bytes of a connection, from its beginning.</summary>
    internal bool IsAtByte => Moment is CutMoment.Setup or CutMoment.Precopy or CutMoment.Confirmation or CutMoment.Recovery;

    internal static LinkCut Choose(Random random, CutMoment moment, int channels, bool preempt)
    {
        var kind = (CutKind)random.Next(3);
        var backward = moment == CutMoment.Confirmation || random.Next(3) == 0;
        var connection = moment switch
        {
            CutMoment.Setup => backward ? 0 : random.Next(channels + 1),
            CutMoment.Precopy => backward || channels == 0 ? 0 : 1 + random.Next(channels),
            CutMoment.Recovery => preempt && !backward && random.Next(4) == 0 ? 1 : 0,
            _ => 0,
        };
        backward &= moment != CutMoment.Precopy;
        var length = (moment, backward) switch
        {
            (CutMoment.Setup, true) => 8, // PONG
            (CutMoment.Setup, false) => connection == 0 ? 200 : 64,
            (CutMoment.Precopy, _) => channels == 0 ? 8 << 20 : 3 << 20,
            (CutMoment.Package, _) => 66 << 10,
            (CutMoment.Confirmation, _) => 40, // PONGs, perhaps requests
            (CutMoment.Recovery, true) => 600, // bitmaps, RESUME_ACK, requests
            (CutMoment.Recovery, false) => connection == 0 ? 44 : 1, // questions, RESUME
            _ => 1,
        };
        var notice = (CutNotice)random.Next(moment == CutMoment.Background ? 3 : 2);
        return new LinkCut(
            moment, kind, (CutTarget)random.Next(3), connection, backward,
            (moment == CutMoment.Precopy ? 300 : 0) + random.Next(length), random.NextDouble() * 0.95, notice,
            TimeSpan.FromMilliseconds(random.Next(10, 200)));
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Kind} of {Target} at {Moment}, connection {Connection} {(Backward ? "backward" : "forward")} byte {Offset}, "
        + $"share {Share:0.00}, {Notice} after {After.TotalMilliseconds} ms");
}

/// <summary>A move and its cuts, chosen by a seed.</summary>
internal sealed record CutCase(int Seed, bool Preempt, int Channels, bool Shared, IReadOnlyList<LinkCut> Cuts)
{
    /// <summary>The first cut goes through all moments but the recovery, which needs one before; up to three more follow.</summary>
    internal static CutCase Choose(int seed)
    {
        var random = new Random(seed);
        var preempt = random.Next(2) == 0;
        var channels = random.Next(4) == 0 ? 2 : 0;
        List<CutMoment> moments = [(CutMoment)(seed % 6)];
        for (var more = random.Next(4); more > 0; more--)
        {
            moments.Add(random.GetItems([CutMoment.Recovery, CutMoment.Recovery, CutMoment.Background, CutMoment.End], 1)[0]);
        }

        return new CutCase(
            seed, preempt, channels, random.Next(2) == 0, [.. moments.Select(moment => LinkCut.Choose(random, moment, channels, preempt))]);
    }

    public override string ToString() =>
        $"seed {Seed}: preempt {Preempt}, {Channels} multifd channels, shared {Shared}\n  {string.Join("\n  ", Cuts)}";
}
