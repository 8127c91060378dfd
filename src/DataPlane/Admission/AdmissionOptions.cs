using System.Net;
using DataPlane.Transport.Tls;

namespace DataPlane.Admission;

/// <summary>What admission expects, and how much it lets undecided connections cost. Immutable; change it through <c>with</c>.</summary>
public sealed record AdmissionOptions
{
    /// <summary>The protocol's largest number of multifd channels.</summary>
    public const int MaxMultifdChannels = 255;

    /// <summary>Where TLS ends here: the two ends of what is inside.</summary>
    private const int DescriptorsPerUpgrade = 2;

    /// <summary>Number of multifd channels, 0 to 255. Default 0: none. Nothing on the wire says it, both sides are configured.</summary>
    public int MultifdChannels { get; init; }

    /// <summary>
    /// UUID of the VM, which every multifd channel must carry. <see langword="null"/>, the default, accepts the first one seen and then
    /// only that one: whoever comes first decides, so set it where strangers can reach the listener.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Whether a preempt channel may come, early or late. Default <see langword="false"/>. It is never waited for.
    /// </summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// Whether all channels are TLS sessions that the host passes on unopened. Default <see langword="false"/>. Each is admitted, as
    /// <see cref="ChannelKind.Tls"/> and in order, once its ClientHello is whole; nothing plain is.
    /// </summary>
    public bool TlsPassThrough { get; init; }

    /// <summary>Ends TLS here; what is inside is judged as without it. By default there is no TLS.</summary>
    internal IChannelUpgrade? Upgrade { get; init; }

    /// <summary>How long <see cref="Upgrade"/> may take for one connection.</summary>
    internal TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Descriptors that the host needs for a channel of the migration, its connection included.</summary>
    internal int DescriptorsPerChannel { get; init; } = 1;

    /// <summary>Descriptors that the channels of one migration need, and strangers never get.</summary>
    internal long ReservedDescriptors => (long)(DescriptorsPerChannel + (Upgrade is null ? 0 : DescriptorsPerUpgrade)) * (MultifdChannels + 2);

    /// <summary>Descriptors of an undecided connection at most.</summary>
    internal int DescriptorsPerUndecided => 1 + (Upgrade is null ? 0 : DescriptorsPerUpgrade);

    /// <summary>
    /// Most handshakes under way at once; at least twice the channels of a migration, so that those of one source, which all come at once,
    /// never are the most of one address beside a crowd of another. Beyond it the oldest goes of the address that has most, if that has more
    /// than a migration has channels; else the oldest of all.
    /// </summary>
    internal int MaxHandshakes { get; init; } = 128;

    /// <summary>What <see cref="MaxHandshakes"/> comes to.</summary>
    internal int HandshakesAtOnce => Math.Max(MaxHandshakes, 2 * (MultifdChannels + 2));

    /// <summary>Networks that may connect; empty, the default, means all. Unix sockets are not asked.</summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>
    /// Whether the preempt channel may come from another address than the main channel. Default <see langword="false"/>.
    /// </summary>
    public bool AnyPeer { get; init; }

    /// <summary>
    /// How long a connection may stay silent. Default 30 s. Starts again whenever a channel of the same peer address is admitted,
    /// because a main channel is rightly silent until the last multifd channel has connected.
    /// Where a preempt channel may come it ends when everything else is admitted: that channel may be silent for ever.
    /// </summary>
    public TimeSpan UndecidedTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a connection may take from its first byte to its proof, or the host to judge a proof. Default 10 s. Nothing extends it.
    /// </summary>
    public TimeSpan IncompleteTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Most undecided connections in all. Default 1024. Beyond it one goes of the address that holds most, if that is more than a migration
    /// has channels, else of the address that holds the oldest; addresses that have brought channels of the migration come last. Of an
    /// address the oldest goes of those that are silent or of those that speak, whichever are more. Fewer are kept where RLIMIT_NOFILE
    /// allows fewer: the descriptors of the migration are set aside first.
    /// </summary>
    public int MaxUndecided { get; init; } = 1024;

    /// <summary>
    /// Most undecided connections of one peer address, or of one Unix listener. Default 512. Beyond it one of that address goes, as with
    /// <see cref="MaxUndecided"/>.
    /// At least the number of channels of one migration: they may all be undecided at once.
    /// </summary>
    public int MaxUndecidedPerPeer { get; init; } = 512;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range; the message names option, value and range.</exception>
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
