namespace DataPlane.Wire;

/// <summary>
/// What the version of a QEMU and its machine type tell about the other end of a migration. Nothing on the wire tells it, and nobody can be
/// asked. Whoever needs such a fact asks here.
/// <code>
/// fact                         holds for                      unknown  why it matters (specification)
/// SyncsAtFlushRecords          machine type 8.1 and later     yes      older ones synchronise multifd at the end of every ram section, and
///                                                                      a wrong sync is a hang (3-multifd 8)
/// TakesZeroPagesInPackets      machine type 9.0 and later     yes      older ones leave the pages as they were, without an error
///                                                                      (3-multifd 8)
/// TakesSwitchoverStart         machine type 10.0 and later    no       7.2 to 9.2 fail on it, and nobody needs it (2-main-stream 7.1)
/// AwaitsSwitchoverAck          program 8.1 and later, up to   no       see there (2-main-stream 4.3)
///                              machine type 11.0
/// TakesPreemptAtSwitch         program 9.0 and later          no       7.2 does not read main without the channel, and 8.x takes none
///                                                                      while it loads devices (4-postcopy 4.7.2)
/// NeedsPreemptEnd              program before 8.0             yes      7.2 waits for the end of its preempt channel (4-postcopy 4.11)
/// TakesPostcopyBesideMultifd   program 10.1 and later         yes      older ones refuse it, or lose the guest (4-postcopy 4.5.1)
/// RepeatsRecovery              program 8.2 and later          yes      older ones have one attempt, and die if it fails: no limit may end
///                                                                      it (4-postcopy 4.11)
/// ListensAfterShut             program 8.2 and later          no       older ones read nothing any more after SHUT 1 (4-postcopy 4.8.4)
/// TakesGuestBack               program 10.2 and later         no       it runs its guest again where others pause (4-postcopy 4.8.4)
/// </code>
/// </summary>
/// <remarks>
/// One rule says which version counts. The version that was told is the program's; where none was told, the program is at least as new as
/// the machine type in the name. As which machine type it behaves, the name tells; where the name has no version (microvm, those of
/// distributions), it is the newest that the program has. A program has no newer machine types and can do no more than it knows, so what
/// holds for a machine type must hold for the program, too: where both versions are known, the older one counts. A host of this library is
/// no QEMU: a number in its machine type's name is its own, and no version is known of it.
/// </remarks>
internal sealed class QemuCompatibility
{
    /// <summary>The prefix of the machine types of hosts that embed this library on both sides.</summary>
    private const string OwnPrefix = "dataplane-";

    private static readonly Version s_flushRecords = new(8, 1);
    private static readonly Version s_zeroPagesInPackets = new(9, 0);
    private static readonly Version s_switchoverStart = new(10, 0);
    private static readonly Version s_switchoverAck = new(8, 1);
    private static readonly Version s_switchoverAckOnRequest = new(11, 1);
    private static readonly Version s_preemptAtSwitch = new(9, 0);
    private static readonly Version s_preemptWithoutEnd = new(8, 0);
    private static readonly Version s_repeatedRecovery = new(8, 2);
    private static readonly Version s_listeningAfterShut = new(8, 2);
    private static readonly Version s_takingBack = new(10, 2);

    private readonly Version? _told;
    private readonly Version? _named;

    private QemuCompatibility(string? machine, Version? told)
    {
        IsOurs = IsOwn(machine);
        if (!IsOurs)
        {
            _named = machine is null ? null : MachineType.Parse(machine).Version;
            _told = told;
        }
    }

    /// <summary>The oldest version that is supported.</summary>
    public static Version Oldest { get; } = new(7, 2);

    /// <summary>The newest version that is supported.</summary>
    public static Version Newest { get; } = new(11, 1);

    /// <summary>The first version with <see cref="TakesPostcopyBesideMultifd"/>, for messages.</summary>
    public static Version PostcopyBesideMultifd { get; } = new(10, 1);

    /// <summary>Whether the other end is a host of this library, which takes everything that a source may choose to send.</summary>
    public bool IsOurs { get; }

    /// <summary>
    /// Whether it is certain how the other end synchronises multifd. A distribution's machine type tells nothing, and a QEMU of 8.1 or
    /// later may do it in either way then.
    /// </summary>
    public bool HasKnownSync => IsOurs || _named is not null || (_told is not null && _told < s_flushRecords);

    /// <summary>
    /// Whether a destination waits for all multifd channels at FLUSH records only; otherwise it does so at the end of every ram section,
    /// whose EOS record is the mark. A source must synchronise them in the same places.
    /// </summary>
    public bool SyncsAtFlushRecords => IsUnknown || Behaves(s_flushRecords);

    /// <summary>
    /// Whether zero pages may travel in multifd packets. As ZERO records on the main channel every destination takes them.
    /// </summary>
    public bool TakesZeroPagesInPackets => IsUnknown || Behaves(s_zeroPagesInPackets);

    /// <summary>Whether a destination knows the command SWITCHOVER_START.</summary>
    public bool TakesSwitchoverStart => IsOurs || Behaves(s_switchoverStart);

    /// <summary>
    /// Whether SWITCHOVER_ACK is due when a source has opened the return path: never to one that fails on it, always to one that may wait
    /// for it, as far as anybody can know.
    /// </summary>
    /// <remarks>
    /// Nothing on the wire tells whether a source's capability <c>switchover-ack</c> is on. Up to machine type 11.0 a source that has it on
    /// waits for one message, without which it sends round after round for ever; if the capability is off, the message changes nothing.
    /// From 11.1 on a source waits only for what its devices ask for, and a message that nobody asked for ends the migration. QEMU 7.2 and
    /// 8.0 do not know the message, and it ends the migration there, too. QEMU's own destination decides by its own capability; a source
    /// of ours waits for nothing.
    /// </remarks>
    public bool AwaitsSwitchoverAck => Program >= s_switchoverAck && Machine < s_switchoverAckOnRequest;

    /// <summary>Whether a destination ends a migration only after the record that ends its preempt channel.</summary>
    public bool NeedsPreemptEnd => !(Program >= s_preemptWithoutEnd);

    /// <summary>Whether a guest can go by postcopy when there are multifd channels.</summary>
    public bool TakesPostcopyBesideMultifd => IsUnknown || Program >= PostcopyBesideMultifd;

    /// <summary>Whether the recovery of a postcopy can fail and be repeated.</summary>
    public bool RepeatsRecovery => IsUnknown || Program >= s_repeatedRecovery;

    /// <summary>
    /// Whether a source that has switched to postcopy and then reads SHUT 1 reads its return path again in a recovery.
    /// </summary>
    public bool ListensAfterShut => Program >= s_listeningAfterShut;

    /// <summary>Whether a source runs its guest again if its link is lost before it has read PONG(0x42).</summary>
    public bool TakesGuestBack => Program >= s_takingBack;

    private Version? Program => _told ?? _named;

    private Version? Machine => _named ?? _told;

    private bool IsUnknown => Program is null;

    /// <summary>Returns what is known of the other end.</summary>
    /// <param name="machine">The name of its machine type; null where it is not known.</param>
    /// <param name="told">The version of its program; null where nobody has told it.</param>
    public static QemuCompatibility Of(string? machine, Version? told) => new(machine, told);

    /// <summary>Returns what is known of a source.</summary>
    /// <param name="announced">The name of the machine type in its stream.</param>
    /// <param name="machine">The machine type as which it behaves, where the options name one. A source of ours behaves as none.</param>
    /// <param name="told">The version of its program; null where nobody has told it.</param>
    public static QemuCompatibility OfSource(string announced, string? machine, Version? told) =>
        new(IsOwn(announced) ? announced : machine ?? announced, told);

    /// <summary>
    /// Whether a destination takes the preempt channel as late as the switch to postcopy; otherwise it must come right after main's header,
    /// and a record ends it. With multifd channels it must not come before them, and only destinations that take it late combine them with
    /// postcopy.
    /// </summary>
    public bool TakesPreemptAtSwitch(int multifdChannels) => multifdChannels > 0 || IsOurs || Program >= s_preemptAtSwitch;

    private static bool IsOwn(string? machine) => machine?.StartsWith(OwnPrefix, StringComparison.Ordinal) == true;

    private bool Behaves(Version since) => Program >= since && Machine >= since;
}
