using System.Net;
using DataPlane.Admission;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane;

/// <summary>What admission expects, and how much undecided connections may cost. Immutable; change it through <c>with</c>.</summary>
public sealed record AdmissionOptions
{
    /// <summary>The protocol's largest number of multifd channels.</summary>
    public const int MaxMultifdChannels = 255;

    /// <summary>Additional descriptors of a connection whose TLS ends here: both ends of the socket pair for the bytes inside.</summary>
    private const int DescriptorsPerUpgrade = 2;

    /// <summary>
    /// Number of multifd channels, 0 to 255. Default 0. Nothing on the wire announces it, so both sides are configured with the same number
    /// (specification, 1-channels section 1.5).
    /// </summary>
    public int MultifdChannels { get; init; }

    /// <summary>
    /// UUID of the VM, which every multifd channel must carry. With <see langword="null"/>, the default, the first multifd channel sets it
    /// and the others must carry the same. Then whoever connects first decides, so set it where strangers can reach the listener.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Whether a preempt channel may come, before or after the others. Default <see langword="false"/>. Admission never waits for it.
    /// </summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// Whether all channels are TLS sessions that the host passes on unopened. Default <see langword="false"/>. Each session is admitted as
    /// <see cref="ChannelKind.Tls"/> once its ClientHello is whole, and plain connections are refused.
    /// </summary>
    public bool TlsPassThrough { get; init; }

    /// <summary>
    /// Ends TLS here, so that the rules judge the bytes inside. With <see langword="null"/>, the default, no TLS ends here.
    /// </summary>
    internal IChannelUpgrade? Upgrade { get; init; }

    /// <summary>How long <see cref="Upgrade"/> may take for one connection. Default 5 s.</summary>
    internal TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Descriptors that the host needs for each channel of the migration, including its connection. Default 1.</summary>
    internal int DescriptorsPerChannel { get; init; } = 1;

    /// <summary>Descriptors that are set aside for the channels of one migration, so that strangers cannot use them up.</summary>
    internal long ReservedDescriptors =>
        (long)(DescriptorsPerChannel + (Upgrade is null ? 0 : DescriptorsPerUpgrade)) * (MultifdChannels + 2);

    /// <summary>The most descriptors that one undecided connection can have.</summary>
    internal int DescriptorsPerUndecided => 1 + (Upgrade is null ? 0 : DescriptorsPerUpgrade);

    /// <summary>
    /// The most TLS handshakes under way at once. Default 128; <see cref="HandshakesAtOnce"/> is the limit that applies. Beyond it
    /// <see cref="HandshakeCrowd.VictimBeyond"/> decides which one is given up.
    /// </summary>
    internal int MaxHandshakes { get; init; } = 128;

    /// <summary>
    /// <see cref="MaxHandshakes"/>, but at least twice the number of channels of a migration: the handshakes of one source all come at
    /// once, and must not be the most of one address beside a crowd from another.
    /// </summary>
    internal int HandshakesAtOnce => Math.Max(MaxHandshakes, 2 * (MultifdChannels + 2));

    /// <summary>
    /// Networks that may connect. An empty list, the default, allows all. Connections over Unix sockets are always allowed.
    /// </summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>Whether connections from this address may be read at all.</summary>
    internal bool Allows(PeerGroup peerGroup) =>
        Allow.Count == 0 || peerGroup.Address is not { } address || Allow.Any(network => network.Contains(address));

    /// <summary>
    /// Whether the preempt channel may come from another address than the main channel. Default <see langword="false"/>.
    /// </summary>
    public bool AnyPeer { get; init; }

    /// <summary>
    /// How long a connection may stay silent. Default 30 s, from 1 ms to 1 day. The time starts again whenever a channel of the same peer
    /// address is admitted, because a main channel is rightly silent until the last multifd channel has connected. A connection that may be
    /// the preempt channel has no limit once everything else is admitted, because that channel may be silent for ever.
    /// </summary>
    public TimeSpan UndecidedTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a connection may take from its first byte to its proof, and how long the host may take to judge a page record that is held.
    /// Default 10 s, from 1 ms to 1 day. Further bytes do not extend it.
    /// </summary>
    public TimeSpan IncompleteTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The most undecided connections in all. Default 1024. Beyond it one is given up: at the address that holds the most, if that is more
    /// than a migration has channels, else at the address that holds the oldest. Addresses that have brought channels of the migration come
    /// last. Within an address the silent connections and those that have sent something are counted apart, and the oldest of the more
    /// numerous kind goes. Fewer are kept where RLIMIT_NOFILE allows fewer, because the descriptors of the migration are set aside first.
    /// </summary>
    public int MaxUndecided { get; init; } = 1024;

    /// <summary>
    /// The most undecided connections of one peer address, or of one Unix listener. Default 512. Beyond it one connection of that address
    /// is given up, chosen as for <see cref="MaxUndecided"/>. It must be at least the number of channels of one migration, which may all be
    /// undecided at once, and at most <see cref="MaxUndecided"/>.
    /// </summary>
    public int MaxUndecidedPerPeer { get; init; } = 512;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range; the message names option, value and range.</exception>
    /// <exception cref="ArgumentNullException"><see cref="Allow"/> is <see langword="null"/>.</exception>
    public void Validate()
    {
        var least = MultifdChannels + 2; // main and preempt beside them
        Check(MultifdChannels is >= 0 and <= MaxMultifdChannels, nameof(MultifdChannels), MultifdChannels, $"0 to {MaxMultifdChannels}");
        Check(IsDelay(UndecidedTimeout), nameof(UndecidedTimeout), UndecidedTimeout, "1 ms to 1 day");
        Check(IsDelay(IncompleteTimeout), nameof(IncompleteTimeout), IncompleteTimeout, "1 ms to 1 day");
        Check(IsDelay(HandshakeTimeout), nameof(HandshakeTimeout), HandshakeTimeout, "1 ms to 1 day");
        if (Upgrade is not null && TlsPassThrough)
        {
            throw new ArgumentException("TLS either ends here or is passed on.");
        }

        ArgumentNullException.ThrowIfNull(Allow);
        Check(MaxUndecided >= least && MaxUndecided <= 1 << 20, nameof(MaxUndecided), MaxUndecided, $"{least} to {1 << 20}");
        Check(MaxUndecidedPerPeer >= least && MaxUndecidedPerPeer <= MaxUndecided,
            nameof(MaxUndecidedPerPeer), MaxUndecidedPerPeer, $"{least} to {nameof(MaxUndecided)}");
    }

    private static bool IsDelay(TimeSpan value) => value >= TimeSpan.FromMilliseconds(1) && value <= TimeSpan.FromDays(1);

    private static void Check(bool valid, string name, object value, string range)
    {
        if (!valid)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be {range}.");
        }
    }
}
