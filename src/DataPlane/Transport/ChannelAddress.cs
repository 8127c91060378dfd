using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace DataPlane;

/// <summary>
/// Where channels connect to or listen: a TCP host and port, or the path of a Unix socket. Immutable and comparable by value.
/// </summary>
/// <remarks>
/// Written as <c>HOST:PORT</c>, <c>[v6]:PORT</c>, <c>:PORT</c> (every address when listening, loopback when connecting),
/// <c>tcp:HOST:PORT</c> or <c>unix:PATH</c>.
/// </remarks>
public sealed record ChannelAddress
{
    /// <summary>The kernel's limit for the path of a Unix socket, without the final zero byte.</summary>
    public const int MaxPathBytes = 107;

    private const string TcpPrefix = "tcp:";
    private const string UnixPrefix = "unix:";

    private ChannelAddress(string host, int port, string? path)
    {
        Host = host;
        Port = port;
        Path = path;
    }

    /// <summary>
    /// Host name or IP address without brackets. Empty for every address (listening) or loopback (connecting), and for Unix sockets.
    /// </summary>
    public string Host { get; }

    /// <summary>TCP port, 0 to 65535; 0 lets the system choose when listening. 0 for Unix sockets.</summary>
    public int Port { get; }

    /// <summary>Path of the Unix socket; <see langword="null"/> for TCP.</summary>
    public string? Path { get; }

    /// <summary>Whether this is a Unix socket.</summary>
    [MemberNotNullWhen(true, nameof(Path))]
    public bool IsUnix => Path is not null;

    /// <summary>The address of a TCP host and port.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="port"/> is not a port.</exception>
    public static ChannelAddress Tcp(string host, int port)
    {
        ArgumentNullException.ThrowIfNull(host);
        ArgumentOutOfRangeException.ThrowIfNegative(port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, IPEndPoint.MaxPort);
        return new ChannelAddress(host, port, null);
    }

    /// <summary>The address of a Unix socket.</summary>
    /// <exception cref="ArgumentException"><paramref name="path"/> is empty or longer than <see cref="MaxPathBytes"/>.</exception>
    public static ChannelAddress Unix(string path) =>
        TryCheckPath(path, out var error) ? new ChannelAddress("", 0, path) : throw new ArgumentException(error, nameof(path));

    /// <summary>Reads one of the written forms.</summary>
    /// <exception cref="FormatException">
    /// <paramref name="text"/> is none of the written forms; the message is one line with the reason.
    /// </exception>
    public static ChannelAddress Parse(string text) =>
        TryParse(text, out var address, out var error) ? address : throw new FormatException(error);

    /// <summary>Reads one of the written forms. On failure <paramref name="error"/> is one line with the reason.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out ChannelAddress? address, [NotNullWhen(false)] out string? error) =>
        TryParse(text, null, out address, out error);

    /// <summary>
    /// Reads one of the written forms, where <c>HOST</c> alone means <c>HOST:<paramref name="defaultPort"/></c>. On failure
    /// <paramref name="error"/> is one line with the reason.
    /// </summary>
    public static bool TryParse(
        string? text,
        int? defaultPort,
        [NotNullWhen(true)] out ChannelAddress? address,
        [NotNullWhen(false)] out string? error)
    {
        address = null;
        if (string.IsNullOrEmpty(text))
        {
            error = "an address is needed: HOST:PORT, [v6]:PORT, :PORT or unix:PATH";
            return false;
        }

        if (text.StartsWith(UnixPrefix, StringComparison.Ordinal))
        {
            var path = text[UnixPrefix.Length..];
            if (!TryCheckPath(path, out error))
            {
                return false;
            }

            address = new ChannelAddress("", 0, path);
            return true;
        }

        var rest = text.StartsWith(TcpPrefix, StringComparison.Ordinal) ? text[TcpPrefix.Length..] : text;
        if (!TrySplit(text, rest, out var host, out var portText, out error))
        {
            return false;
        }

        int port;
        if (portText is null)
        {
            if (defaultPort is null)
            {
                error = $"'{text}' has no port: write HOST:PORT";
                return false;
            }

            port = defaultPort.Value;
        }
        else if (!int.TryParse(portText, NumberStyles.None, CultureInfo.InvariantCulture, out port) || port > IPEndPoint.MaxPort)
        {
            error = $"'{portText}' in '{text}' is not a port from 0 to {IPEndPoint.MaxPort}";
            return false;
        }

        address = new ChannelAddress(host, port, null);
        return true;
    }

    /// <summary>The address in the shortest of its written forms, without <c>tcp:</c>.</summary>
    public override string ToString() =>
        IsUnix ? UnixPrefix + Path
            : string.Create(CultureInfo.InvariantCulture, $"{(Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)}:{Port}");

    internal static ChannelAddress From(IPEndPoint endPoint) => new(endPoint.Address.ToString(), endPoint.Port, null);

    private static bool TrySplit(string text, string rest, out string host, out string? port, [NotNullWhen(false)] out string? error)
    {
        port = null;
        error = null;
        if (rest.StartsWith('['))
        {
            var close = rest.IndexOf(']', StringComparison.Ordinal);
            host = close < 0 ? "" : rest[1..close];
            var after = close < 0 ? "" : rest[(close + 1)..];
            if (!IPAddress.TryParse(host, out var v6) || v6.AddressFamily != AddressFamily.InterNetworkV6
                || (after.Length > 0 && after[0] != ':'))
            {
                error = $"'{text}' is not an IPv6 address in brackets with a port: write [v6]:PORT";
            }
            else if (after.Length > 0)
            {
                port = after[1..];
            }

            return error is null;
        }

        var colon = rest.LastIndexOf(':');
        host = colon < 0 ? rest : rest[..colon];
        port = colon < 0 ? null : rest[(colon + 1)..];
        if (host.Contains(':', StringComparison.Ordinal))
        {
            error = $"'{text}' has too many colons: write an IPv6 address as [v6]:PORT";
        }
        else if (host.Any(c => char.IsWhiteSpace(c) || c is '/' or '[' or ']'))
        {
            error = $"'{host}' in '{text}' is not a host name or address";
        }

        return error is null;
    }

    private static bool TryCheckPath(string? path, [NotNullWhen(false)] out string? error)
    {
        var bytes = Encoding.UTF8.GetByteCount(path ?? "");
        error = bytes == 0 ? "a Unix socket needs a path: write unix:PATH"
            : bytes > MaxPathBytes ? $"the path of a Unix socket has at most {MaxPathBytes} bytes, '{path}' has {bytes}"
            : null;
        return error is null;
    }
}
