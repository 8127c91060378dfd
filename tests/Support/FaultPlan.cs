namespace DataPlane.TestSupport;

/// <summary>What a <see cref="FaultProxy"/> does to one connection. Forward is from the client to the target.</summary>
internal sealed record FaultPlan
{
    internal static readonly FaultPlan None = new();

    internal Fault Forward { get; init; } = Fault.None;

    internal Fault Backward { get; init; } = Fault.None;
}

/// <summary>What happens to one direction. Offsets count the bytes of that direction from 0 and are exact.</summary>
internal sealed record Fault
{
    internal static readonly Fault None = new();

    /// <summary>Said before the first byte that is passed on; no offset counts it.</summary>
    internal byte[] Preface { get; init; } = [];

    /// <summary>After this many bytes have been passed on, the whole connection is cut.</summary>
    internal long? CutAt { get; init; }

    /// <summary>Cut by RST (which may overtake bytes that were passed on but not yet read), or by FIN in both directions.</summary>
    internal bool CutByReset { get; init; } = true;

    /// <summary>After this many bytes nothing is passed on until <see cref="FaultLink.Resume"/>.</summary>
    internal long? StallAt { get; init; }

    /// <summary>Passed on in pieces of at most this many bytes, each sent by itself.</summary>
    internal int? PieceBytes { get; init; }

    /// <summary>The byte at this offset is changed by exclusive-or with <see cref="CorruptMask"/>.</summary>
    internal long? CorruptAt { get; init; }

    internal byte CorruptMask { get; init; } = 0xFF;

    /// <summary>
    /// After this many bytes everything is read and thrown away, the end included: a sender that is not told fills no buffer.
    /// </summary>
    internal long? DiscardAt { get; init; }

    /// <summary>As <see cref="StallAt"/>, at a record; main without TLS only, as the two others.</summary>
    internal FaultPoint? StallAtRecord { get; init; }

    /// <summary>As <see cref="CutAt"/>, at a record.</summary>
    internal FaultPoint? CutAtRecord { get; init; }

    /// <summary>As <see cref="DiscardAt"/>, at a record.</summary>
    internal FaultPoint? DiscardAtRecord { get; init; }

    /// <summary>A place of which it is told when it has been passed on, or thrown away: <see cref="FaultLink.ForwardNoticed"/>.</summary>
    internal FaultPoint? NoticeRecord { get; init; }

    internal bool HasRecord => (StallAtRecord ?? CutAtRecord ?? DiscardAtRecord ?? NoticeRecord) is not null;
}
