using System.Net;

namespace DataPlane;

/// <summary>How the sockets of channels are set up. Immutable; change it through <c>with</c>.</summary>
/// <remarks>The defaults leave buffer sizes to the kernel, which tunes them by itself and is hard to beat.</remarks>
public sealed record ChannelOptions
{
    /// <summary>
    /// Send buffer in bytes (SO_SNDBUF), 4096 to 1 GiB. <see langword="null"/>, the default, leaves the kernel's own tuning on; a fixed
    /// value turns it off.
    /// </summary>
    public int? SendBufferBytes { get; init; }

    /// <summary>
    /// Receive buffer in bytes (SO_RCVBUF), 4096 to 1 GiB. <see langword="null"/>, the default, leaves the kernel's own tuning on; a fixed
    /// value turns it off.
    /// </summary>
    public int? ReceiveBufferBytes { get; init; }

    /// <summary>
    /// Whether small pieces are sent at once (TCP_NODELAY). Default <see langword="true"/>, because headers and page requests must not wait
    /// for a full segment.
    /// </summary>
    public bool NoDelay { get; init; } = true;

    /// <summary>
    /// Silence after which the kernel probes the peer (keepalive), 1 s to 32767 s; <see langword="null"/> sends no probes. Default 10 s. A
    /// peer that has vanished is noticed after this time plus <see cref="KeepAliveProbes"/> times <see cref="KeepAliveInterval"/>, as long
    /// as none of our bytes waits for an acknowledgement.
    /// </summary>
    public TimeSpan? KeepAliveTime { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time between two keepalive probes, 1 s to 32767 s. Default 5 s.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Unanswered keepalive probes that end the connection, 1 to 127. Default 3, so that the vanished peer of an idle channel is noticed
    /// after 25 s.
    /// </summary>
    public int KeepAliveProbes { get; init; } = 3;

    /// <summary>
    /// Longest time that sent bytes, or a probe of the peer's closed window, may wait for the acknowledgement of its machine, 1 s to 1 day.
    /// After that time the peer counts as vanished, and the channel ends. Default 20 s; <see langword="null"/> leaves the kernel's
    /// retransmission limit (about 15 minutes).
    /// </summary>
    /// <remarks>
    /// A machine that is up acknowledges without its program, so a peer that does not read, or is stopped, does not count as vanished.
    /// Without effect on Unix sockets.
    /// </remarks>
    public TimeSpan? AcknowledgementTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>
    /// Longest time that sent bytes may stay unacknowledged (TCP_USER_TIMEOUT), 1 ms to 1 day; <see langword="null"/>, the default, leaves
    /// the kernel's retransmission limit (about 15 minutes).
    /// </summary>
    /// <remarks>
    /// To notice a vanished peer, use <see cref="AcknowledgementTimeout"/>. With this option, the kernel also ends a connection whose peer
    /// keeps its receive window closed. A destination may close its window for long and with reason (its guest memory is not ready yet), so
    /// choose this well above the longest such pause.
    /// </remarks>
    public TimeSpan? UserTimeout { get; init; }

    /// <summary>
    /// Local addresses to connect from: channel i uses the one at index i modulo their count. Empty, the default, leaves the choice to the
    /// routes.
    /// </summary>
    public IReadOnlyList<IPAddress> LocalAddresses { get; init; } = [];

    /// <summary>
    /// Longest time for one channel to connect, over all addresses of its host, at most 1 day. They are tried concurrently: each attempt
    /// begins 250 ms after the one before (RFC 8305), or as soon as that has failed. Default 30 s.
    /// </summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Finds the addresses of a host name; the system's resolver by default.</summary>
    internal Func<string, CancellationToken, Task<IPAddress[]>> Resolve { get; init; } = Dns.GetHostAddressesAsync;

    /// <summary>
    /// Connections that the kernel queues for a listener until they are accepted, 1 to 65535; it may cap this. Default 1024.
    /// </summary>
    public int ListenBacklog { get; init; } = 1024;

    /// <summary>Checks every value; call it once before use.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range; the message names option, value and range.</exception>
    /// <exception cref="ArgumentNullException"><see cref="LocalAddresses"/> is null.</exception>
    public void Validate()
    {
        CheckBytes(SendBufferBytes, nameof(SendBufferBytes));
        CheckBytes(ReceiveBufferBytes, nameof(ReceiveBufferBytes));
        CheckSeconds(KeepAliveTime, nameof(KeepAliveTime));
        CheckSeconds(KeepAliveInterval, nameof(KeepAliveInterval));
        Check(KeepAliveProbes is >= 1 and <= 127, nameof(KeepAliveProbes), KeepAliveProbes, "1 to 127");
        Check(AcknowledgementTimeout is null
            || (AcknowledgementTimeout >= TimeSpan.FromSeconds(1) && AcknowledgementTimeout <= TimeSpan.FromDays(1)),
            nameof(AcknowledgementTimeout), AcknowledgementTimeout, "1 s to 1 day");
        Check(UserTimeout is null || (UserTimeout >= TimeSpan.FromMilliseconds(1) && UserTimeout <= TimeSpan.FromDays(1)),
            nameof(UserTimeout), UserTimeout, "1 ms to 1 day");
        Check(ConnectTimeout > TimeSpan.Zero && ConnectTimeout <= TimeSpan.FromDays(1),
            nameof(ConnectTimeout), ConnectTimeout, "more than 0, at most 1 day");
        Check(ListenBacklog is >= 1 and <= 65535, nameof(ListenBacklog), ListenBacklog, "1 to 65535");
        ArgumentNullException.ThrowIfNull(LocalAddresses);
    }

    private static void CheckBytes(int? value, string name) =>
        Check(value is null or (>= 4096 and <= 1 << 30), name, value, "4096 to 1 GiB");

    private static void CheckSeconds(TimeSpan? value, string name) =>
        Check(value is null || (value >= TimeSpan.FromSeconds(1) && value <= TimeSpan.FromSeconds(32767)), name, value, "1 s to 32767 s");

    private static void Check(bool valid, string name, object? value, string range)
    {
        if (!valid)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be {range}.");
        }
    }
}
