using System.Net;
using DataPlane.Guard.Order;

namespace DataPlane.Guard;

/// <summary>The options of one guarded VM. Immutable; change it through <c>with</c>.</summary>
/// <remarks>
/// Set either <see cref="Qmp"/> or <see cref="To"/>. With a monitor, the guard asks QEMU for everything and has it listen where only the
/// guard connects. Without one, QEMU listens already, and the options tell what it expects.
/// </remarks>
public sealed record GuardedVmOptions
{
    /// <summary>A channel needs two sockets, and the two ends of a pipe in each direction.</summary>
    private const int DescriptorsPerChannel = 6;

    /// <summary>The name of the VM in messages and views; it must not be empty.</summary>
    public required string Name { get; init; }

    /// <summary>The public addresses on which the guard listens; at least one.</summary>
    public required IReadOnlyList<ChannelAddress> Listen { get; init; }

    /// <summary>
    /// The address of a QMP socket of QEMU that nobody else uses: a monitor serves one client. QEMU must have been started with
    /// <c>-incoming defer</c>, and its migration capabilities and parameters must be set before the guard starts.
    /// </summary>
    public ChannelAddress? Qmp { get; init; }

    /// <summary>
    /// The address on which QEMU is told to listen, together with <see cref="Qmp"/> only. The default is a Unix socket beside the QMP
    /// socket, or a free loopback port when QMP is TCP. Strangers must not be able to reach it. A QEMU that already listens elsewhere is
    /// not guarded: an address that only QEMU itself reports is no reason to connect to it.
    /// </summary>
    public ChannelAddress? Incoming { get; init; }

    /// <summary>
    /// An existing folder for QEMU's socket, used when a path beside the QMP socket would be longer than
    /// <see cref="ChannelAddress.MaxPathBytes"/>. Without it, such a QEMU needs <see cref="Incoming"/>.
    /// </summary>
    public string? RuntimeFolder { get; init; }

    /// <summary>The address on which QEMU listens already, instead of <see cref="Qmp"/>. Strangers must not be able to reach it.</summary>
    public ChannelAddress? To { get; init; }

    /// <summary>The number of multifd channels, 0 to 255. Default 0: none. With <see cref="To"/> only; a monitor reports it.</summary>
    public int MultifdChannels { get; init; }

    /// <summary>Whether QEMU expects a preempt channel. Default no. With <see cref="To"/> only; a monitor reports it.</summary>
    public bool Preempt { get; init; }

    /// <summary>
    /// The UUID of the VM, which every multifd channel must carry. By default it is what the monitor reports; without a monitor it is the
    /// first UUID that a channel brings, which may be a stranger's.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Whether QEMU has TLS credentials, so that its channels are TLS sessions, which the guard passes on unopened. Default no. With
    /// <see cref="To"/> only; a monitor reports it.
    /// </summary>
    public bool TlsPassThrough { get; init; }

    /// <summary>
    /// The server credentials with which the guard ends TLS in front of a QEMU that has none; what is inside is judged and relayed as
    /// without TLS. With <see langword="null"/>, the default, the channels are TLS sessions if QEMU has credentials, and plain otherwise.
    /// The caller disposes of the credentials, after the guard.
    /// </summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>
    /// The longest time for one TLS handshake, 1 ms to 1 day. Default 5 s. When TLS is passed through, a stranger can hold up QEMU for this
    /// time.
    /// </summary>
    public TimeSpan TlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The networks that may connect; empty, the default, means all.</summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>
    /// Whether the preempt channel may come from another address than the main channel, and a TLS session that is passed through from
    /// another address than the first session. Default no.
    /// </summary>
    public bool AnyPeer { get; init; }

    /// <summary>How long a connection may stay undecided, and a set of channels incomplete. Default 30 s.</summary>
    public TimeSpan UndecidedTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a connection may take from its first byte to the last byte of its proof. Default 10 s.</summary>
    public TimeSpan IncompleteTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The largest number of undecided connections in all. Default 16384.</summary>
    public int MaxUndecided { get; init; } = 16384;

    /// <summary>The largest number of undecided connections of one peer address. Default 16384.</summary>
    public int MaxUndecidedPerPeer { get; init; } = 16384;

    /// <summary>The longest time for an answer of the monitor and for a connection to QEMU, 1 ms to 1 day. Default 10 s.</summary>
    public TimeSpan MonitorTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long channels are still relayed after the migration is over, so that everything under way arrives, 1 ms to 1 day. Default 10 s.
    /// </summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The socket options of the public connections. By default a vanished peer is given up within about 30 s.</summary>
    public ChannelOptions Sockets { get; init; } = new() { ListenBacklog = 4096, UserTimeout = TimeSpan.FromSeconds(30) };

    /// <summary>Checks every option.</summary>
    /// <exception cref="ArgumentException">
    /// A value is outside its range, or options contradict each other; the message tells which.
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

        if (Qmp is not null && (MultifdChannels != 0 || Preempt || TlsPassThrough))
        {
            throw new ArgumentException(
                $"{nameof(MultifdChannels)}, {nameof(Preempt)} and {nameof(TlsPassThrough)} belong to {nameof(To)}: a monitor tells them.");
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

    /// <summary>Returns the admission options that fit what QEMU expects.</summary>
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
