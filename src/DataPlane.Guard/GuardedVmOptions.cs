using System.Net;
using DataPlane.Admission;
using DataPlane.Guard.Order;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Guard;

/// <summary>One VM behind a guard. Immutable; change it through <c>with</c>.</summary>
/// <remarks>
/// Either <see cref="Qmp"/> or <see cref="To"/>: with a monitor QEMU is asked for everything and told to listen where only the guard
/// connects; without one it listens already, and the options say what it expects.
/// </remarks>
public sealed record GuardedVmOptions
{
    /// <summary>Two sockets, and two ends of a pipe in each direction.</summary>
    private const int DescriptorsPerChannel = 6;

    /// <summary>Name of the VM, for messages and views.</summary>
    public required string Name { get; init; }

    /// <summary>Public addresses to listen on; at least one.</summary>
    public required IReadOnlyList<ChannelAddress> Listen { get; init; }

    /// <summary>
    /// A QMP socket of QEMU that nobody else uses: a monitor serves one client. QEMU must have been started with
    /// <c>-incoming defer</c>, and its migration capabilities and parameters must be set before the guard starts.
    /// </summary>
    public ChannelAddress? Qmp { get; init; }

    /// <summary>
    /// Where QEMU is told to listen, with <see cref="Qmp"/> only. By default a Unix socket beside the QMP socket, or a loopback port when
    /// QMP is TCP. Strangers must not reach it. A QEMU that listens elsewhere already is not guarded: its word alone is no reason to connect
    /// anywhere.
    /// </summary>
    public ChannelAddress? Incoming { get; init; }

    /// <summary>
    /// An existing folder where QEMU's socket goes when a path beside the QMP socket would be longer than
    /// <see cref="ChannelAddress.MaxPathBytes"/>. Without it such a QEMU needs <see cref="Incoming"/>.
    /// </summary>
    public string? RuntimeFolder { get; init; }

    /// <summary>Where QEMU listens already, instead of <see cref="Qmp"/>. Strangers must not reach it.</summary>
    public ChannelAddress? To { get; init; }

    /// <summary>Multifd channels, 0 to 255, 0 for none. With <see cref="To"/> only; a monitor tells it.</summary>
    public int Channels { get; init; }

    /// <summary>Whether QEMU expects a preempt channel. With <see cref="To"/> only; a monitor tells it.</summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// UUID of the VM, which every multifd channel must carry. A monitor tells it; without either the first one seen counts, which lets
    /// strangers in the way.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// QEMU has TLS credentials, so that its channels are TLS sessions, which are passed on unopened. With <see cref="To"/> only; a monitor
    /// tells it.
    /// </summary>
    public bool TlsPassThrough { get; init; }

    /// <summary>
    /// The guard ends TLS with these server credentials, and QEMU has none: what is inside is judged and relayed as without TLS.
    /// <see langword="null"/>, the default, takes what QEMU says. The caller disposes of them, after the guard.
    /// </summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>
    /// How long a TLS handshake may take. Default 5 s. Passed through, QEMU stands still for as long as a stranger takes.
    /// </summary>
    public TimeSpan TlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Peers that may connect at all; empty, the default, lets everybody.</summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>Whether the preempt channel may come from another address than the main channel. Default no.</summary>
    public bool AnyPeer { get; init; }

    /// <summary>How long a connection may stay undecided. Default 30 s.</summary>
    public TimeSpan UndecidedTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a connection may take from its first byte to the last of its proof. Default 10 s.</summary>
    public TimeSpan IncompleteTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Most undecided connections in all. Default 16384.</summary>
    public int MaxUndecided { get; init; } = 16384;

    /// <summary>Most undecided connections of one peer address. Default 16384.</summary>
    public int MaxUndecidedPerPeer { get; init; } = 16384;

    /// <summary>How long a monitor may take to answer before it counts as standing still. Default 10 s.</summary>
    public TimeSpan MonitorTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long channels may still be relayed when the migration is over, so that everything under way arrives. Default 10 s.
    /// </summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Socket options of the public connections. The default gives up a vanished peer after about 30 s.</summary>
    public ChannelOptions Sockets { get; init; } = new() { ListenBacklog = 4096, UserTimeout = TimeSpan.FromSeconds(30) };

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">
    /// A value is outside its range, or options contradict each other; the message says which.
    /// </exception>
    public void Validate()
    {
        if (string.IsNullOrWhiteSpace(Name))
        {
            throw new ArgumentException($"{nameof(Name)} must not be empty.");
        }

        if (Listen is not { Count: > 0 })
        {
            throw new ArgumentException($"{nameof(Listen)} must have at least one address.");
        }

        if (Qmp is null == To is null)
        {
            throw new ArgumentException($"Either {nameof(Qmp)} or {nameof(To)} must be given, not both.");
        }

        if (Incoming is not null && Qmp is null)
        {
            throw new ArgumentException($"{nameof(Incoming)} needs {nameof(Qmp)}: only a monitor can tell QEMU where to listen.");
        }

        if (Qmp is not null && (Channels != 0 || Preempt || TlsPassThrough))
        {
            throw new ArgumentException(
                $"{nameof(Channels)}, {nameof(Preempt)} and {nameof(TlsPassThrough)} belong to {nameof(To)}: a monitor tells them.");
        }

        Check(MonitorTimeout, nameof(MonitorTimeout));
        Check(DrainTimeout, nameof(DrainTimeout));
        Check(TlsHandshakeTimeout, nameof(TlsHandshakeTimeout));
        if (Tls is { End: not TlsEnd.Server })
        {
            throw new ArgumentException($"{nameof(Tls)} must be a server's credentials.");
        }

        if (Tls is not null && TlsPassThrough)
        {
            throw new ArgumentException($"{nameof(Tls)} and {nameof(TlsPassThrough)} exclude each other.");
        }

        AdmissionOptions(QemuTarget.From(this, To ?? Qmp!)).Validate();
        Sockets.Validate();
    }

    /// <summary>The admission that fits what QEMU expects.</summary>
    internal AdmissionOptions AdmissionOptions(QemuTarget target) => new()
    {
        MultifdChannels = target.Channels,
        Preempt = target.Preempt,
        Uuid = target.Uuid,
        TlsPassThrough = target.Tls,
        DescriptorsPerChannel = DescriptorsPerChannel,
        HandshakeTimeout = TlsHandshakeTimeout,
        Allow = Allow,
        AnyPeer = AnyPeer,
        UndecidedTimeout = UndecidedTimeout,
        IncompleteTimeout = IncompleteTimeout,
        MaxUndecided = MaxUndecided,
        MaxUndecidedPerPeer = MaxUndecidedPerPeer,
    };

    private static void Check(TimeSpan value, string name)
    {
        if (value < TimeSpan.FromMilliseconds(1) || value > TimeSpan.FromDays(1))
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be 1 ms to 1 day.");
        }
    }
}
