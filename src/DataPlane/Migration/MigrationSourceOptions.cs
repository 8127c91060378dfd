using DataPlane.Migration;
using DataPlane.Multifd.Compression;
using DataPlane.Wire;

namespace DataPlane;

/// <summary>How a source sends its guest. Immutable; change it through <c>with</c>.</summary>
public sealed record MigrationSourceOptions
{
    /// <summary>
    /// The number of multifd channels, 0 to 255. The destination must expect the same number. Default 0: pages go on the main channel.
    /// </summary>
    public int MultifdChannels { get; init; }

    /// <summary>
    /// The version of the destination's QEMU, 7.2 or later, where it is known. Default null: the machine type decides how multifd
    /// synchronises and where zero pages go.
    /// </summary>
    /// <remarks>
    /// It is not needed where the name of the machine type carries a version; if both are known, the older one counts. If neither is known,
    /// the destination is taken for one that knows what the newest QEMU knows.
    /// </remarks>
    public Version? DestinationQemuVersion { get; init; }

    /// <summary>
    /// The QEMU machine type as which the destination behaves, for a machine type whose name carries no version of QEMU's (a distribution's
    /// own). Default null: the machine type's name tells it.
    /// </summary>
    public string? DestinationMachineType { get; init; }

    /// <summary>The most bytes per second that all channels together send in precopy. Default null: no limit, and no cost.</summary>
    public long? MaxBytesPerSecond { get; init; }

    /// <summary>
    /// How pages are compressed. The destination must expect the same. It needs multifd channels. Default: pages are not compressed.
    /// </summary>
    public CompressionMethod Compression { get; init; }

    /// <summary>
    /// How hard pages are compressed: zlib 0 to 9, zstd 1 to 20. Default null: the method's default (zlib 3, zstd 1). The destination need
    /// not know it.
    /// </summary>
    public int? CompressionLevel { get; init; }

    /// <summary>
    /// Whether the guest may be handed over before its memory. <see cref="MigrationSource.SwitchToPostcopy"/> hands a running guest over; a
    /// guest that stands still is handed over at once. The destination must expect it (QEMU: capability <c>postcopy-ram</c>). Default
    /// false.
    /// </summary>
    public bool Postcopy { get; init; }

    /// <summary>
    /// Whether, in postcopy, the pages that the destination asks for go over a connection of their own, ahead of all other pages. The
    /// destination must expect it (QEMU: capability <c>postcopy-preempt</c>). It needs <see cref="Postcopy"/>. Default false.
    /// </summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// The sizes in bytes of the pages that back RAM blocks at the destination, by the block's name. With postcopy both sides must agree on
    /// them, and nothing on the wire tells them. Default: as at the source, which is 4096 for most blocks.
    /// </summary>
    public IReadOnlyDictionary<string, long> HostPageSizes { get; init; } = new Dictionary<string, long>();

    /// <summary>
    /// The most bytes per second that are sent in postcopy without having been asked for. Pages that are asked for neither wait for this
    /// limit nor count towards it. Default null: no limit.
    /// </summary>
    public long? MaxPostcopyBytesPerSecond { get; init; }

    /// <summary>
    /// How long a migration that has lost its link in postcopy waits for <see cref="MigrationSource.ResumeAsync"/>, each time. Meanwhile it
    /// keeps the guest's memory, without which the guest at the destination cannot go on. Default zero: the migration ends at once.
    /// </summary>
    /// <remarks>
    /// With zero, a link is not given up for want of acknowledgements (<see cref="ChannelOptions.AcknowledgementTimeout"/>) once the guest
    /// has been handed over, since no other link may follow: it lasts for as long as TCP retransmits. The destination does not know of this
    /// and ends the link by its own limit, so it should have none.
    /// </remarks>
    public TimeSpan RecoveryTimeout { get; init; }

    /// <summary>
    /// How long the guest may stand still. Rounds go on until what is left can be sent within this time at the measured bandwidth. Default
    /// 300 ms.
    /// </summary>
    public TimeSpan MaxDowntime { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>
    /// How long the destination may take to send SHUT after the whole stream has been sent; after that the outcome is unknown. Before that,
    /// it limits how long the destination may take to confirm that all of the memory has arrived, and how long it may take nothing while
    /// the guest stands still; after either, the migration fails. In postcopy it limits how long nothing may move before the destination
    /// has confirmed that it runs the guest. Default 60 s.
    /// </summary>
    /// <remarks>
    /// The destination loads its devices within this time without sending anything, and nothing tells a destination that loads from one
    /// that has stopped. Where devices take longer (passed-through ones with much state), set it above the time that they take.
    /// </remarks>
    public TimeSpan CommitTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// The longest time without a byte moving, after which the migration fails; <see cref="Timeout.InfiniteTimeSpan"/> waits for ever.
    /// Default null: two minutes. Once the guest stands still, <see cref="CommitTimeout"/> applies as well.
    /// </summary>
    /// <remarks>
    /// A destination whose machine or network has gone is noticed sooner, see <see cref="ChannelOptions.AcknowledgementTimeout"/>.
    /// </remarks>
    public TimeSpan? StallTimeout { get; init; }

    /// <summary>
    /// The client's credentials: with them every channel is a TLS session, in which they verify the server. The caller disposes of them
    /// after the migration. Default null: no TLS.
    /// </summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>
    /// The name or IP address that the destination's certificate must carry. Default null: the host of the destination's address, which a
    /// Unix socket does not have.
    /// </summary>
    public string? TlsHostName { get; init; }

    /// <summary>How long each TLS handshake may take. Default 10 s.</summary>
    public TimeSpan TlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often progress is reported between changes of phase. Default 1 s.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The socket options of every channel. Default: those of a new <see cref="ChannelOptions"/>.</summary>
    public ChannelOptions Sockets { get; init; } = new();

    internal TimeSpan? EffectiveStallTimeout => OptionChecks.Limit(StallTimeout ?? TimeSpan.FromMinutes(2));

    internal CompressionSettings CompressionSettings => new(Compression, CompressionLevel);

    /// <summary>Refuses values that cannot work.</summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// An option is out of range; the message names the option and what it must be.
    /// </exception>
    public void Validate()
    {
        OptionChecks.InRange(MultifdChannels, 0, 255, nameof(MultifdChannels));
        OptionChecks.InRange(MaxBytesPerSecond ?? long.MaxValue, 1, long.MaxValue, nameof(MaxBytesPerSecond));
        OptionChecks.InRange(MaxPostcopyBytesPerSecond ?? long.MaxValue, 1, long.MaxValue, nameof(MaxPostcopyBytesPerSecond));
        if (Preempt && !Postcopy)
        {
            throw new ArgumentOutOfRangeException(nameof(Preempt), Preempt, $"{nameof(Preempt)} needs {nameof(Postcopy)}");
        }

        if (Postcopy && MultifdChannels > 0 && !QemuCompatibility.Of(machine: null, DestinationQemuVersion).TakesPostcopyBesideMultifd)
        {
            throw new ArgumentOutOfRangeException(
                nameof(MultifdChannels), MultifdChannels,
                $"with {nameof(Postcopy)}, {nameof(MultifdChannels)} must be 0 before QEMU {QemuCompatibility.PostcopyBesideMultifd}");
        }

        if (DestinationQemuVersion is not null && DestinationQemuVersion < QemuCompatibility.Oldest)
        {
            throw new ArgumentOutOfRangeException(
                nameof(DestinationQemuVersion), DestinationQemuVersion,
                $"{nameof(DestinationQemuVersion)} must be {QemuCompatibility.Oldest} or later");
        }

        ValidateCompression();
        OptionChecks.NotNegative(RecoveryTimeout, nameof(RecoveryTimeout));
        OptionChecks.Positive(MaxDowntime, nameof(MaxDowntime));
        OptionChecks.Positive(CommitTimeout, nameof(CommitTimeout));
        OptionChecks.PositiveOrInfinite(StallTimeout, nameof(StallTimeout));
        OptionChecks.Positive(TlsHandshakeTimeout, nameof(TlsHandshakeTimeout));
        OptionChecks.Tls(Tls, TlsEnd.Client, nameof(Tls));
        OptionChecks.Positive(ProgressInterval, nameof(ProgressInterval));
        Sockets.Validate();
    }

    private void ValidateCompression()
    {
        OptionChecks.InRange((int)Compression, 0, (int)CompressionMethod.Zstd, nameof(Compression));
        if (Compression != CompressionMethod.None && MultifdChannels == 0)
        {
            throw new ArgumentOutOfRangeException(nameof(Compression), Compression, "only pages on multifd channels can be compressed");
        }

        if (CompressionLevel is { } level)
        {
            var (min, max) = CompressionSettings.LevelsOf(Compression)
                ?? throw new ArgumentOutOfRangeException(nameof(CompressionLevel), level, "there is no level without compression");
            OptionChecks.InRange(level, min, max, nameof(CompressionLevel));
        }
    }
}
