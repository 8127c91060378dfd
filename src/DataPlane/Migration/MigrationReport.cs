namespace DataPlane.Migration;

/// <summary>What a completed migration was like.</summary>
public sealed record MigrationReport
{
    /// <summary>From the first connect (source) or the first channel (destination) to the commit.</summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>
    /// Source: from stopping the guest to the destination's word. Destination: from its end of RAM to the commit. Zero when the guest was
    /// not running.
    /// </summary>
    public required TimeSpan Downtime { get; init; }

    /// <summary>Rounds of pages, the last one included. Zero at a destination, which is not told.</summary>
    public required int Rounds { get; init; }

    /// <summary>Bytes on all channels, headers included.</summary>
    public required long TransferredBytes { get; init; }

    /// <summary>Pages that went with their bytes, repetitions counted.</summary>
    public required long NormalPages { get; init; }

    /// <summary>Pages that went as zero pages, repetitions counted.</summary>
    public required long ZeroPages { get; init; }

    /// <summary>
    /// Who has the guest: <see cref="GuestOwner.Destination"/>; at a destination also <see cref="GuestOwner.Source"/> for a background
    /// snapshot, and <see cref="GuestOwner.Unknown"/> where <see cref="SourceStaysConnected"/>.
    /// </summary>
    public GuestOwner Owner { get; init; }

    /// <summary>
    /// Destination: the VM's UUID, from the configuration section or the multifd channels; null when neither carried one. Always null at a
    /// source, whose guest says it.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Source: how often the destination has said that the guest runs there (return path message VM_STARTED, which no QEMU up to 11.1
    /// sends). Zero at a destination.
    /// </summary>
    public int VmStartedMessages { get; init; }

    /// <summary>
    /// Destination: what has arrived is a background snapshot: its guest goes on at the source, and must not be started here. Always false
    /// at a source.
    /// </summary>
    public bool IsBackgroundSnapshot { get; init; }

    /// <summary>
    /// Destination: the source has heard that its guest is here, and has not closed its main channel within <see
    /// cref="MigrationDestinationOptions.CloseTimeout"/>. A source whose capability <c>x-colo</c> is on does so from QEMU 11.0 on, and may
    /// run its guest again; nothing tells it from others before. Always false at a source, and where there is no return path.
    /// </summary>
    public bool SourceStaysConnected { get; init; }

    /// <summary>Figures of postcopy; null when the migration was finished by precopy.</summary>
    public PostcopyReport? Postcopy { get; init; }

    /// <summary>The phases in their order, with the time each took.</summary>
    public required IReadOnlyList<PhaseDuration> Phases { get; init; }

    /// <summary>The channels that carried it.</summary>
    public required IReadOnlyList<ChannelReport> Channels { get; init; }
}

/// <summary>What postcopy was like.</summary>
public sealed record PostcopyReport
{
    /// <summary>
    /// Source: from the last byte of the device state to the destination's confirmation that it is loaded, when the guest starts there;
    /// null when none came.
    /// Destination: from that byte to the start of the guest; null when none was started before its memory was there.
    /// </summary>
    public required TimeSpan? StartDelay { get; init; }

    /// <summary>Bytes of the package that carried the device state.</summary>
    public required long PackageBytes { get; init; }

    /// <summary>Requests for pages, repetitions included.</summary>
    public required long Requests { get; init; }

    /// <summary>Pages of 4 KiB that went because they were asked for.</summary>
    public required long RequestedPages { get; init; }

    /// <summary>How often the link was lost and recovered.</summary>
    public int Recoveries { get; init; }
}

/// <summary>How long one phase took.</summary>
/// <param name="Phase">The phase.</param>
/// <param name="Duration">Its duration.</param>
public sealed record PhaseDuration(MigrationPhase Phase, TimeSpan Duration);

/// <summary>One channel of a migration.</summary>
/// <param name="Kind">What it carried.</param>
/// <param name="Id">Number of a multifd channel, else 0.</param>
/// <param name="Peer">The other end's address.</param>
/// <param name="Bytes">Bytes from source to destination.</param>
public sealed record ChannelReport(Admission.ChannelKind Kind, int Id, string Peer, long Bytes);
