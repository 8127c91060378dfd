using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Migration;

/// <summary>How a source sends its guest.</summary>
public sealed record MigrationSourceOptions
{
    private static readonly Version s_oldestPeer = new(7, 2);
    private static readonly Version s_multifdWithPostcopy = new(10, 1);

    /// <summary>Multifd channels, 0 to 255; the destination must expect the same number. Default 0: pages go on the main channel.</summary>
    public int MultifdChannels { get; init; }

    /// <summary>
    /// Version of the destination's QEMU, 7.2 or later, where it is known. Default null: the machine type decides how multifd synchronises
    /// and where zero pages go.
    /// </summary>
    /// <remarks>
    /// A machine type never needs it. Where a machine type's name carries no version, it stands in for one; with neither the destination
    /// is taken for one of this library.
    /// </remarks>
    public Version? Peer { get; init; }

    /// <summary>
    /// The QEMU machine type as which the destination behaves, where its name carries no version of QEMU's (a distribution's own). Default
    /// null: its name says it.
    /// </summary>
    public string? Machine { get; init; }

    /// <summary>Bytes per second that all channels together send at most. Default null: no limit, and no cost.</summary>
    public long? MaxBytesPerSecond { get; init; }

    /// <summary>How pages are compressed; the destination must expect the same. Only with multifd channels. Default: not at all.</summary>
    public CompressionMethod Compression { get; init; }

    /// <summary>
    /// How hard to compress: zlib 0 to 9, zstd 1 to 20; null for the method's default (zlib 3, zstd 1). It concerns nobody but the source.
    /// </summary>
    public int? CompressionLevel { get; init; }

    /// <summary>
    /// The guest may be handed over before its memory: <see cref="MigrationSource.SwitchToPostcopy"/> says when, and a guest that stands
    /// still goes at once. The destination
    /// must expect it (QEMU: capability <c>postcopy-ram</c>). Default false.
    /// </summary>
    public bool Postcopy { get; init; }

    /// <summary>
    /// With postcopy, what the destination asks for goes over a connection of its own, ahead of all other pages. The destination must
    /// expect it (QEMU: capability
    /// <c>postcopy-preempt</c>). Default false.
    /// </summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// Sizes in bytes of the pages that back RAM blocks at the destination, by the block's name. With postcopy both sides must agree, and
    /// nothing on the wire tells. Default:
    /// as at the source, 4096 for most.
    /// </summary>
    public IReadOnlyDictionary<string, long> HostPageSizes { get; init; } = new Dictionary<string, long>();

    /// <summary>
    /// Bytes per second of what is sent in postcopy without being asked for; pages that are asked for neither wait for it nor count.
    /// Default null: no limit.
    /// </summary>
    public long? MaxPostcopyBytesPerSecond { get; init; }

    /// <summary>
    /// How long a migration whose link is lost in postcopy waits for <see cref="MigrationSource.Resume"/>, each time. Until then it keeps
    /// the guest's memory, without which the guest
    /// at the destination cannot go on. Default zero: it ends at once.
    /// </summary>
    /// <remarks>
    /// With zero a link is not given up for want of acknowledgements once the guest has been handed over
    /// (<see cref="ChannelOptions.AcknowledgementTimeout"/>), since no other may follow: it lasts as long as TCP has patience. The
    /// destination does not know of this, and ends the link by its own limit: give it none.
    /// </remarks>
    public TimeSpan RecoveryTimeout { get; init; }

    /// <summary>
    /// How long the guest may stand still. Rounds go on until what is left fits, at the bandwidth measured. Default 300 ms.
    /// </summary>
    public TimeSpan MaxDowntime { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>
    /// How long the destination may take for its word after the whole stream has been sent; then the outcome is unknown. Before that, how
    /// long it may take to confirm that all of the memory has arrived, and how long it may take nothing while the guest stands still; then
    /// the migration fails. In postcopy: how long nothing may move before it has confirmed that it runs the guest. Default 60 s.
    /// </summary>
    /// <remarks>
    /// The destination loads its devices within this time and says nothing meanwhile, and nothing tells one that loads from one that has
    /// stopped: where devices take longer (passed-through ones with much state), set it above that.
    /// </remarks>
    public TimeSpan CommitTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Longest time without a byte moving, before the migration fails; <see cref="Timeout.InfiniteTimeSpan"/> waits for ever. Default null:
    /// two minutes. Once the guest stands still it is no longer than <see cref="CommitTimeout"/>.
    /// </summary>
    /// <remarks>
    /// A destination whose machine or network has gone is noticed sooner, see <see cref="ChannelOptions.AcknowledgementTimeout"/>.
    /// </remarks>
    public TimeSpan? StallTimeout { get; init; }

    /// <summary>
    /// A client's credentials: every channel is a TLS session then, whose server they verify. The caller disposes of them, after the
    /// migration. Null, the default: no TLS.
    /// </summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>
    /// Name or IP address that the destination's certificate must carry; null, the default, takes the host of its address, which a Unix
    /// socket does not have.
    /// </summary>
    public string? TlsHostName { get; init; }

    /// <summary>How long each TLS handshake may take. Default 10 s.</summary>
    public TimeSpan TlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often progress is reported between changes of phase. Default 1 s.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Socket options of every channel.</summary>
    public ChannelOptions Channels { get; init; } = new();

    internal TimeSpan? EffectiveStallTimeout => OptionChecks.Limit(StallTimeout ?? TimeSpan.FromMinutes(2));

    internal CompressionSettings CompressionSettings => new(Compression, CompressionLevel);

    /// <summary>Refuses values that cannot work.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Names the option, its value and the allowed range.</exception>
    public void Validate()
    {
        OptionChecks.InRange(MultifdChannels, 0, 255, nameof(MultifdChannels));
        OptionChecks.InRange(MaxBytesPerSecond ?? long.MaxValue, 1, long.MaxValue, nameof(MaxBytesPerSecond));
        OptionChecks.InRange(MaxPostcopyBytesPerSecond ?? long.MaxValue, 1, long.MaxValue, nameof(MaxPostcopyBytesPerSecond));
        if (Preempt && !Postcopy)
        {
            throw new ArgumentOutOfRangeException(nameof(Preempt), Preempt, $"{nameof(Preempt)} needs {nameof(Postcopy)}");
        }

        if (Postcopy && MultifdChannels > 0 && Peer is not null && Peer < s_multifdWithPostcopy)
        {
            throw new ArgumentOutOfRangeException(
                nameof(MultifdChannels), MultifdChannels,
                $"with {nameof(Postcopy)}, {nameof(MultifdChannels)} must be 0 before QEMU {s_multifdWithPostcopy}");
        }

        if (Peer is not null && Peer < s_oldestPeer)
        {
            throw new ArgumentOutOfRangeException(nameof(Peer), Peer, $"{nameof(Peer)} must be {s_oldestPeer} or later");
        }

        ValidateCompression();
        if (RecoveryTimeout < TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(
                nameof(RecoveryTimeout), RecoveryTimeout, $"{nameof(RecoveryTimeout)} must not be negative");
        }

        OptionChecks.Positive(MaxDowntime, nameof(MaxDowntime));
        OptionChecks.Positive(CommitTimeout, nameof(CommitTimeout));
        OptionChecks.PositiveOrInfinite(StallTimeout, nameof(StallTimeout));
        OptionChecks.Positive(TlsHandshakeTimeout, nameof(TlsHandshakeTimeout));
        OptionChecks.Tls(Tls, TlsEnd.Client, nameof(Tls));
        OptionChecks.Positive(ProgressInterval, nameof(ProgressInterval));
        Channels.Validate();
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
