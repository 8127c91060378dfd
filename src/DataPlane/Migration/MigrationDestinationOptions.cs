using System.Net;
using DataPlane.Linux;
using DataPlane.Migration;
using DataPlane.Wire;

namespace DataPlane;

/// <summary>What a destination expects and how much it accepts. Immutable; change it through <c>with</c>.</summary>
public sealed record MigrationDestinationOptions
{
    /// <summary>
    /// The number of multifd channels that the source uses, 0 to 255. Nothing on the wire tells it (specification, 1-channels section 1.5).
    /// Default 0.
    /// </summary>
    public int MultifdChannels { get; init; }

    /// <summary>
    /// The compression that the pages on multifd channels must have. Default null: the first packet with pages decides it for all channels.
    /// </summary>
    public CompressionMethod? Compression { get; init; }

    /// <summary>
    /// Whether the source may switch to postcopy. A host that implements <see cref="IPostcopyGuest"/> then runs the guest while its memory
    /// is on the way; for any other host the rest of the memory is fetched as fast as it comes, while the guest stands still. Default
    /// false: the source must finish by precopy.
    /// </summary>
    public bool Postcopy { get; init; }

    /// <summary>
    /// Whether the source may open a preempt channel for the pages that were asked for. It needs <see cref="Postcopy"/>. The destination
    /// never waits for that channel. Default false.
    /// </summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// The VM's UUID. Every multifd channel must carry it, and so must the configuration section where it carries one (capability
    /// <c>validate-uuid</c>). Default null: the first UUID that is seen is accepted.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// The version of the source's QEMU, 7.2 or later, where it is known. Default null: the machine type tells what must be known of the
    /// source.
    /// </summary>
    /// <remarks>
    /// A source with capability <c>switchover-ack</c> waits for a message that QEMU 7.2 and 8.0 do not know. A machine type from 8.1 on
    /// proves that the source knows it; an older one, or a name without a version, does not.
    /// </remarks>
    public Version? SourceQemuVersion { get; init; }

    /// <summary>
    /// The QEMU machine type as which the source behaves, for a machine type whose name carries no version of QEMU's (a distribution's
    /// own). Default null: the machine type's name tells it.
    /// </summary>
    public string? SourceMachineType { get; init; }

    /// <summary>
    /// The most bytes of RAM that a source may announce, over all blocks. Default 1 TiB: set it to what the host can give.
    /// </summary>
    public long MaxRamBytes { get; init; } = 1L << 40;

    /// <summary>The most bytes of device state that a source may send. Default 1 GiB, which is also the maximum.</summary>
    public int MaxDeviceStateBytes { get; init; } = 1 << 30;

    /// <summary>
    /// The most bytes that all channels together may take beside the guest's memory: for host pages that come in pieces (with postcopy and
    /// huge pages, one host page for each of main and preempt) and for what compressed streams refer back to (up to 32 MiB for each multifd
    /// channel). A source that needs more is refused with <see cref="FailureReason.LimitExceeded"/>. Default 4 GiB.
    /// </summary>
    public long MaxStagingBytes { get; init; } = 4L << 30;

    /// <summary>
    /// The longest wait without progress, while an expected channel is missing or no byte moves. <see cref="Timeout.InfiniteTimeSpan"/>
    /// waits for ever. Default null: ten minutes, since a source may pause before its switchover for as long as its operator thinks.
    /// </summary>
    /// <remarks>
    /// Until the first channel has been admitted, the destination waits for ever unless this is set. A source whose machine or network has
    /// gone is noticed within half a minute, by keepalive and by <see cref="ChannelOptions.AcknowledgementTimeout"/>.
    /// </remarks>
    public TimeSpan? StallTimeout { get; init; }

    /// <summary>
    /// Whether a failure before the guest's memory is created counts as no more than a connection that should not have come. Such a
    /// connection is closed and reported by <see cref="MigrationDestination.Refusal"/> as <see cref="RefusalReason.FalseStart"/>, and the
    /// destination goes on waiting. Default <see langword="false"/>: the failure ends <see cref="MigrationDestination.ReceiveAsync"/>.
    /// </summary>
    /// <remarks>
    /// The memory is created when the source has announced it and gone on from there, and all of its channels are there. A source that asks
    /// for what is not supported, announces more than the limits allow, or sends another VM than <see cref="Uuid"/> ends the call in any
    /// case. A set of channels that does not get that far within <see cref="UndecidedTimeout"/> of its last channel is given up; main
    /// channels that come meanwhile are held until then.
    /// </remarks>
    public bool KeepsWaiting { get; init; }

    /// <summary>The networks that may connect; empty, the default, means all. Unix sockets are not checked.</summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>
    /// How long an accepted connection may take to show what it is, 1 ms to 1 day. With <see cref="KeepsWaiting"/> it is also the time that
    /// a migration may take from one channel to the next. Default 30 s.
    /// </summary>
    public TimeSpan UndecidedTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The server's credentials: with them every channel is a TLS session, in which they verify the client. The caller disposes of them
    /// after the destination. Default null: no TLS.
    /// </summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>How long a connection may take for its TLS handshake, 1 ms to 1 day. Default 10 s.</summary>
    public TimeSpan TlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long the source may take to close its channels after the commit, and how long each of the last messages to it may wait until the
    /// kernel takes it; after that the connection ends. Default 10 s.
    /// </summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often progress is reported between changes of phase. Default 1 s.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The socket options of every channel. Default: those of a new <see cref="ChannelOptions"/>.</summary>
    public ChannelOptions Sockets { get; init; } = new();

    /// <summary>
    /// The features that the kernel is asked for with postcopy, where it has them. Tests leave out what older kernels do not have.
    /// </summary>
    internal UserfaultFeatures KernelFeatures { get; init; } = UserfaultFeatures.Poison;

    internal TimeSpan? EffectiveStallTimeout => OptionChecks.Limit(StallTimeout ?? TimeSpan.FromMinutes(10));

    /// <summary>Refuses values that cannot work.</summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// An option is out of range; the message names the option and what it must be.
    /// </exception>
    public void Validate()
    {
        OptionChecks.InRange(MultifdChannels, 0, 255, nameof(MultifdChannels));
        OptionChecks.InRange((int)(Compression ?? CompressionMethod.None), 0, (int)CompressionMethod.Zstd, nameof(Compression));
        if (Preempt && !Postcopy)
        {
            throw new ArgumentOutOfRangeException(nameof(Preempt), Preempt, $"{nameof(Preempt)} needs {nameof(Postcopy)}");
        }

        if (SourceQemuVersion is not null && SourceQemuVersion < QemuCompatibility.Oldest)
        {
            throw new ArgumentOutOfRangeException(
                nameof(SourceQemuVersion), SourceQemuVersion, $"{nameof(SourceQemuVersion)} must be {QemuCompatibility.Oldest} or later");
        }

        OptionChecks.InRange(MaxRamBytes, TargetPage.Size, long.MaxValue, nameof(MaxRamBytes));
        OptionChecks.InRange(MaxStagingBytes, 1 << 20, long.MaxValue, nameof(MaxStagingBytes));
        OptionChecks.InRange(MaxDeviceStateBytes, 1, 1 << 30, nameof(MaxDeviceStateBytes));
        OptionChecks.PositiveOrInfinite(StallTimeout, nameof(StallTimeout));
        ArgumentNullException.ThrowIfNull(Allow);
        OptionChecks.Positive(UndecidedTimeout, nameof(UndecidedTimeout));
        OptionChecks.Positive(TlsHandshakeTimeout, nameof(TlsHandshakeTimeout));
        OptionChecks.Tls(Tls, TlsEnd.Server, nameof(Tls));
        OptionChecks.Positive(CloseTimeout, nameof(CloseTimeout));
        OptionChecks.Positive(ProgressInterval, nameof(ProgressInterval));
        Sockets.Validate();
    }
}
