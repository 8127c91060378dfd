using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>Where a multifd destination waits for all channels, and a source therefore synchronises them.</summary>
internal enum MultifdSync
{
    /// <summary>At the end of every ram section: its EOS record is the mark.</summary>
    EverySection,

    /// <summary>At FLUSH records only.</summary>
    FlushRecord,
}

/// <summary>How zero pages travel when there are multifd channels.</summary>
internal enum ZeroPagePlace
{
    /// <summary>As ZERO records on the main channel, which every destination takes.</summary>
    Main,

    /// <summary>In the packets; a destination before 9.0 would leave the pages as they were, without a word.</summary>
    Packets,
}

/// <summary>
/// What a source emits, and to whom. Nothing on the wire tells which of these a destination speaks, and a wrong sync is a hang
/// (specification, 3-multifd section 8, 2-main-stream section 7.1).
/// </summary>
/// <remarks>
/// The destination's machine type decides, since QEMU's behaviour is a property of it; a program older than 8.1 or 9.0 cannot do more than
/// it knows, and has no newer machine types: so it is the older of the two versions. What is the same for all is not in the table: main
/// connects first and sends its header at once, then all multifd channels connect; the return path is opened and a PING sent; SYNC packets
/// carry no pages, and there is none without a mark; a SWITCHOVER_ACK is taken and not waited for; the multifd channels end before main,
/// after the destination's word.
/// </remarks>
internal sealed record PeerDialect(Version Since, MultifdSync Sync, ZeroPagePlace ZeroPages, bool SendsSwitchoverStart)
{
    /// <summary>Machine types of hosts that embed this library on both sides.</summary>
    private const string OwnPrefix = "dataplane-";

    private static readonly PeerDialect[] s_table =
    [
        //  destination    sync                        zero pages             SWITCHOVER_START
        new(new(0, 0), MultifdSync.EverySection, ZeroPagePlace.Main, false),
        new(new(8, 1), MultifdSync.FlushRecord, ZeroPagePlace.Main, false),
        new(new(9, 0), MultifdSync.FlushRecord, ZeroPagePlace.Packets, false),
        new(new(10, 0), MultifdSync.FlushRecord, ZeroPagePlace.Packets, true),
    ];

    /// <summary>From this version on the machine type decides how multifd synchronises; before it there is only one way.</summary>
    private static readonly Version s_flushSince = s_table[1].Since;

    /// <summary>What our own destination, which takes everything, gets.</summary>
    public static PeerDialect Newest => s_table[^1];

    /// <summary>The dialect of a destination.</summary>
    /// <param name="machine">Machine type name, the destination's own.</param>
    /// <param name="peer">Version of the destination's QEMU, where it is known.</param>
    public static PeerDialect Of(string machine, Version? peer)
    {
        if (IsOwn(machine))
        {
            return Newest;
        }

        var version = VersionOf(machine);
        var older = version is null || (peer is not null && peer < version) ? peer : version;
        // Nobody needs SWITCHOVER_START, and a destination that does not know it fails.
        return older is null ? Newest with { SendsSwitchoverStart = false } : Array.FindLast(s_table, row => row.Since <= older)!;
    }

    /// <summary>
    /// Whether name and version say enough: a distribution's machine type tells nothing, and then a QEMU of 8.1 or later may be of either
    /// kind.
    /// </summary>
    public static bool IsKnown(string machine, Version? peer) =>
        IsOwn(machine) || VersionOf(machine) is not null || (peer is not null && peer < s_flushSince);

    /// <summary>A machine of this library's on both sides.</summary>
    public static bool IsOwn(string machine) => machine.StartsWith(OwnPrefix, StringComparison.Ordinal);

    /// <summary>The version in a machine type's name, null where it has none.</summary>
    public static Version? VersionOf(string machine) => MachineType.Parse(machine).Version is { } version
        ? new Version(version.Major, version.Minor) : null;
}
