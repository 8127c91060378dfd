using System.Net;
using DataPlane.Admission;
using DataPlane.Linux;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Migration;

/// <summary>What a destination expects and how much it accepts.</summary>
public sealed record MigrationDestinationOptions
{
    private static readonly Version s_oldestPeer = new(7, 2);

    /// <summary>
    /// Multifd channels that the source uses, 0 to 255: nothing on the wire says it (specification, 1-channels section 1.5).
    /// </summary>
    public int MultifdChannels { get; init; }

    /// <summary>
    /// Demands that the pages on multifd channels are compressed so; null takes what the first packet with pages carries, for all channels.
    /// </summary>
    public CompressionMethod? Compression { get; init; }

    /// <summary>
    /// Whether the source may switch to postcopy. Default false: it must finish by precopy. A host that implements <see
    /// cref="IPostcopyGuest"/> then runs the guest
    /// while its memory is on the way; for any other one the rest of the memory is fetched as fast as it comes while the guest stands
    /// still.
    /// </summary>
    public bool Postcopy { get; init; }

    /// <summary>
    /// Whether the source opens a preempt channel, on which the pages come that were asked for. Needs <see cref="Postcopy"/>. It is never
    /// waited for.
    /// </summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// The VM's UUID, which every multifd channel must carry, and the configuration section where it carries one (capability
    /// <c>validate-uuid</c>); null accepts the first seen.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Version of the source's QEMU, 7.2 or later, where it is known. Default null: the machine type says what has to be known of it.
    /// </summary>
    /// <remarks>
    /// A source with capability <c>switchover-ack</c> waits for a message that QEMU 7.2 and 8.0 do not know. Machine types from 8.1 on
    /// prove a source that knows it; older ones, and names without a version, do not.
    /// </remarks>
    public Version? Peer { get; init; }

    /// <summary>
    /// The QEMU machine type as which the source behaves, where its name carries no version of QEMU's (a distribution's own). Default null:
    /// its name says it.
    /// </summary>
    public string? Machine { get; init; }

    /// <summary>Most bytes of RAM that a source may announce, in all blocks. Default 1 TiB: set it to what the host can give.</summary>
    public long MaxRamBytes { get; init; } = 1L << 40;

    /// <summary>Most bytes of device state. Default 1 GiB.</summary>
    public int MaxDeviceStateBytes { get; init; } = 1 << 30;

    /// <summary>
    /// Most bytes that all channels together may take beside the guest's memory: host pages that come in pieces (their size for each of main
    /// and preempt, with postcopy and huge pages) and what compressed streams refer back to (up to 32 MiB for each multifd channel). A
    /// source that needs more is refused with <see cref="FailureReason.LimitExceeded"/>. Default 4 GiB.
    /// </summary>
    public long MaxStagingBytes { get; init; } = 4L << 30;

    /// <summary>
    /// Longest wait without progress: an expected channel is missing, or no byte moves. <see cref="Timeout.InfiniteTimeSpan"/> waits for
    /// ever. Default null: ten minutes, since a source may pause before its switchover for as long as its operator thinks.
    /// </summary>
    /// <remarks>
    /// Until the first channel has been admitted the destination waits for ever unless this is set. A source whose machine or network has
    /// gone is noticed by keepalive and by <see cref="ChannelOptions.AcknowledgementTimeout"/>, within half a minute.
    /// </remarks>
    public TimeSpan? StallTimeout { get; init; }

    /// <summary>
    /// Whether what fails before the guest's memory is created is no more than a connection that should not have come: it is closed, told by
    /// <see cref="MigrationDestination.Refusal"/> as <see cref="RefusalReason.FalseStart"/>, and the destination goes on waiting. Default
    /// <see langword="false"/>: it is the end of <see cref="MigrationDestination.ReceiveAsync"/>.
    /// </summary>
    /// <remarks>
    /// The memory is created when the source has announced it and gone on from there, and all of its channels are there. A source that asks
    /// for what is not supported, announces more than the limits allow, or sends another VM than <see cref="Uuid"/> ends the call in any
    /// case. A set of channels that does not get that far within <see cref="UndecidedTimeout"/> of its last channel is given up; main
    /// channels that come meanwhile wait for what becomes of it.
    /// </remarks>
    public bool KeepsWaiting { get; init; }

    /// <summary>Networks that may connect; empty, the default, means all. Unix sockets are not asked.</summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>
    /// How long an accepted connection may take to show what it is, and, with <see cref="KeepsWaiting"/>, a migration from one channel to
    /// the next. Default 30 s.
    /// </summary>
    public TimeSpan UndecidedTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// A server's credentials: every channel is a TLS session then, whose client they verify. The caller disposes of them, after the
    /// destination. Null, the default: no TLS.
    /// </summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>How long a connection may take for its TLS handshake. Default 10 s.</summary>
    public TimeSpan TlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long the source may take to close its channels after the commit, and each of the last messages to it may wait for room on its
    /// way; then the connection ends. Default 10 s.
    /// </summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often progress is reported between changes of phase. Default 1 s.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Socket options of every channel.</summary>
    public ChannelOptions Channels { get; init; } = new();

    /// <summary>What the kernel is asked for with postcopy, where it has it; a test leaves out what older kernels do not have.</summary>
    internal UserfaultFeatures KernelFeatures { get; init; } = UserfaultFeatures.Poison;

    internal TimeSpan? EffectiveStallTimeout => OptionChecks.Limit(StallTimeout ?? TimeSpan.FromMinutes(10));

    /// <summary>Refuses values that cannot work.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Names the option, its value and the allowed range.</exception>
    public void Validate()
    {
        OptionChecks.InRange(MultifdChannels, 0, 255, nameof(MultifdChannels));
        OptionChecks.InRange((int)(Compression ?? CompressionMethod.None), 0, (int)CompressionMethod.Zstd, nameof(Compression));
        if (Preempt && !Postcopy)
        {
            throw new ArgumentOutOfRangeException(nameof(Preempt), Preempt, $"{nameof(Preempt)} needs {nameof(Postcopy)}");
        }

        if (Peer is not null && Peer < s_oldestPeer)
        {
            throw new ArgumentOutOfRangeException(nameof(Peer), Peer, $"{nameof(Peer)} must be {s_oldestPeer} or later");
        }

        OptionChecks.InRange(MaxRamBytes, Memory.TargetPage.Size, long.MaxValue, nameof(MaxRamBytes));
        OptionChecks.InRange(MaxStagingBytes, 1 << 20, long.MaxValue, nameof(MaxStagingBytes));
        OptionChecks.InRange(MaxDeviceStateBytes, 1, 1 << 30, nameof(MaxDeviceStateBytes));
        OptionChecks.PositiveOrInfinite(StallTimeout, nameof(StallTimeout));
        ArgumentNullException.ThrowIfNull(Allow);
        OptionChecks.Positive(UndecidedTimeout, nameof(UndecidedTimeout));
        OptionChecks.Positive(TlsHandshakeTimeout, nameof(TlsHandshakeTimeout));
        OptionChecks.Tls(Tls, TlsEnd.Server, nameof(Tls));
        OptionChecks.Positive(CloseTimeout, nameof(CloseTimeout));
        OptionChecks.Positive(ProgressInterval, nameof(ProgressInterval));
        Channels.Validate();
    }
}
