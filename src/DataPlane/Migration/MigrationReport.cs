namespace DataPlane;

/// <summary>What a completed migration was like.</summary>
public sealed record MigrationReport
{
    /// <summary>
    /// The time from the first connect (source) or the first channel (destination) to the end of the migration. It ends with SHUT at a
    /// source, and at a destination with the commit, or with <see cref="IPostcopyGuest.CompleteAsync"/> if the guest ran before its memory
    /// was here.
    /// </summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>
    /// How long the guest stood still. Source: from stopping the guest to SHUT 0, or in postcopy to PONG(0x42); zero if the guest was not
    /// running or that PONG never came. Destination: from the end of RAM, or in postcopy from the moment at which the source says that its
    /// guest stops (the first DISCARD, or the PING after those that a source of this library sends ahead), to the end of the commit, or to
    /// the end of the start of a guest that runs before its memory is here.
    /// </summary>
    public required TimeSpan Downtime { get; init; }

    /// <summary>The number of rounds of pages, the last one included. Zero at a destination, which is not told.</summary>
    public required int Rounds { get; init; }

    /// <summary>The bytes on all channels, headers included.</summary>
    public required long TransferredBytes { get; init; }

    /// <summary>The number of pages that were sent with their bytes, repetitions counted.</summary>
    public required long NormalPages { get; init; }

    /// <summary>The number of pages that were sent as zero pages, repetitions counted.</summary>
    public required long ZeroPages { get; init; }

    /// <summary>
    /// Who has the guest: <see cref="GuestOwner.Destination"/>; at a destination also <see cref="GuestOwner.Source"/> for a background
    /// snapshot, and <see cref="GuestOwner.Unknown"/> if <see cref="SourceStaysConnected"/> is set or a QEMU source may not have heard
    /// after a postcopy that the guest is here.
    /// </summary>
    public GuestOwner Owner { get; init; }

    /// <summary>
    /// Destination: the VM's UUID, from the configuration section or the multifd channels; null when neither carried one. Always null at a
    /// source, whose guest has it.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Source: how often the destination has reported that the guest runs there (return path message VM_STARTED, which no QEMU up to 11.1
    /// sends). Zero at a destination.
    /// </summary>
    public int VmStartedMessages { get; init; }

    /// <summary>
    /// Destination: whether a background snapshot has arrived, whose guest goes on at the source and must not be started here. Always false
    /// at a source.
    /// </summary>
    public bool IsBackgroundSnapshot { get; init; }

    /// <summary>
    /// Destination: whether the source has been told that its guest is here, and has not closed its main channel within
    /// <see cref="MigrationDestinationOptions.CloseTimeout"/>. A source whose capability <c>x-colo</c> is on does so from QEMU 11.0 on, and
    /// may run its guest again; nothing tells it from other sources before. Always false at a source, and where there is no return path.
    /// </summary>
    public bool SourceStaysConnected { get; init; }

    /// <summary>The figures of the postcopy; null if the migration was finished by precopy.</summary>
    public PostcopyReport? Postcopy { get; init; }

    /// <summary>
    /// The phases in their order, with the time that each took. <see cref="MigrationPhase.Completed"/> is not among them.
    /// </summary>
    public required IReadOnlyList<PhaseDuration> Phases { get; init; }

    /// <summary>The channels that carried the migration.</summary>
    public required IReadOnlyList<ChannelReport> Channels { get; init; }
}

/// <summary>What the postcopy part of a migration was like.</summary>
public sealed record PostcopyReport
{
    /// <summary>
    /// The time between the device state and the start of the guest. Source: from the last byte of the package to the destination's
    /// confirmation that the devices are loaded, with which the guest starts there; null when none came. Destination: from that byte to the
    /// start of the guest; null when the guest was not started before its memory was there.
    /// </summary>
    public required TimeSpan? StartDelay { get; init; }

    /// <summary>The bytes of the package that carried the device state.</summary>
    public required long PackageBytes { get; init; }

    /// <summary>The number of requests for pages, repetitions included.</summary>
    public required long Requests { get; init; }

    /// <summary>The number of pages of 4 KiB that were sent because they had been asked for.</summary>
    public required long RequestedPages { get; init; }

    /// <summary>How often the link was lost and recovered.</summary>
    public int Recoveries { get; init; }
}

/// <summary>How long one phase took.</summary>
/// <param name="Phase">The phase.</param>
/// <param name="Duration">The time that the phase took.</param>
public sealed record PhaseDuration(MigrationPhase Phase, TimeSpan Duration);

/// <summary>One channel of a migration.</summary>
/// <param name="Kind">What the channel carried.</param>
/// <param name="Id">The number of a multifd channel; 0 for the others.</param>
/// <param name="Peer">The address of the other end.</param>
/// <param name="Bytes">The bytes that went from source to destination.</param>
public sealed record ChannelReport(ChannelKind Kind, int Id, string Peer, long Bytes);
