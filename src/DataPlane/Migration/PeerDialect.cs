using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>Where a multifd destination waits for all channels, so that a source must synchronise them there.</summary>
internal enum MultifdSync
{
    /// <summary>The destination waits at the end of every ram section, whose EOS record is the mark.</summary>
    EverySection,

    /// <summary>The destination waits at FLUSH records only.</summary>
    FlushRecord,
}

/// <summary>How zero pages travel when there are multifd channels.</summary>
internal enum ZeroPagePlace
{
    /// <summary>Zero pages travel as ZERO records on the main channel, which every destination takes.</summary>
    Main,

    /// <summary>
    /// Zero pages travel in the multifd packets. A destination before 9.0 would leave the pages as they were, without an error.
    /// </summary>
    Packets,
}

/// <summary>
/// What a source sends, depending on its destination. Nothing on the wire tells which of these dialects a destination speaks, and a wrong
/// sync is a hang (specification, 3-multifd section 8, 2-main-stream section 7.1).
/// </summary>
/// <remarks>
/// The destination's machine type decides, since QEMU's behaviour is a property of it. A program older than 8.1 or 9.0 can do no more than
/// it knows and has no newer machine types, so the older of the two versions counts. The table leaves out what is the same for all
/// destinations: main connects first and sends its header at once, then all multifd channels connect; the return path is opened and a PING
/// is sent; SYNC packets carry no pages, and none is sent without a mark; a SWITCHOVER_ACK is accepted and not waited for; the multifd
/// channels end before main, after the destination's SHUT.
/// </remarks>
internal sealed record PeerDialect(Version Since, MultifdSync Sync, ZeroPagePlace ZeroPages, bool SendsSwitchoverStart)
{
    /// <summary>The prefix of the machine types of hosts that embed this library on both sides.</summary>
    private const string OwnPrefix = "dataplane-";

    private static readonly PeerDialect[] s_table =
    [
        //  destination    sync                        zero pages             SWITCHOVER_START
        new(new(0, 0), MultifdSync.EverySection, ZeroPagePlace.Main, false),
        new(new(8, 1), MultifdSync.FlushRecord, ZeroPagePlace.Main, false),
        new(new(9, 0), MultifdSync.FlushRecord, ZeroPagePlace.Packets, false),
        new(new(10, 0), MultifdSync.FlushRecord, ZeroPagePlace.Packets, true),
    ];

    /// <summary>The first version whose machine type decides how multifd synchronises; before it there is only one way.</summary>
    private static readonly Version s_flushSince = s_table[1].Since;

    /// <summary>The dialect for our own destination, which takes everything.</summary>
    public static PeerDialect Newest => s_table[^1];

    /// <summary>Returns the dialect of a destination.</summary>
    /// <param name="machine">The name of the destination's machine type.</param>
    /// <param name="peer">The version of the destination's QEMU, where it is known.</param>
    public static PeerDialect Of(string machine, Version? peer)
    {
        if (IsOwn(machine))
        {
            return Newest;
        }

        var version = VersionOf(machine);
        var older = version is null || (peer is not null && peer < version) ? peer : version;
        // No destination needs SWITCHOVER_START, and one that does not know it fails.
        return older is null ? Newest with { SendsSwitchoverStart = false } : Array.FindLast(s_table, row => row.Since <= older)!;
    }

    /// <summary>
    /// Whether machine type and version are enough to choose a dialect. A distribution's machine type tells nothing, and a QEMU of 8.1 or
    /// later may synchronise in either way then.
    /// </summary>
    public static bool IsKnown(string machine, Version? peer) =>
        IsOwn(machine) || VersionOf(machine) is not null || (peer is not null && peer < s_flushSince);

    /// <summary>Whether the machine type is of this library, which both sides use then.</summary>
    public static bool IsOwn(string machine) => machine.StartsWith(OwnPrefix, StringComparison.Ordinal);

    /// <summary>The version in a machine type's name; null if it has none.</summary>
    public static Version? VersionOf(string machine) => MachineType.Parse(machine).Version is { } version
        ? new Version(version.Major, version.Minor) : null;
}
