using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>
/// The address on which QEMU is told to listen. The guard or its operator chooses it. An address that QEMU reports is compared with it and
/// never used: the guard would connect to it, and remove it, with rights that QEMU does not have.
/// </summary>
internal static class IncomingAddress
{
    private const int FreePortAttempts = 5;

    /// <summary>
    /// Returns the address that the options name, else a path beside the QMP socket, because QEMU may live in another root that shares only
    /// that folder with the guard. Where this path would be too long, the name is shorter; where even the folder's path is too long, it is
    /// in the runtime folder. For a monitor on TCP it is the loopback address, with a port that <see cref="WithFreePort"/> finds. Every
    /// process chooses the same, so that a guard that is started again finds it.
    /// </summary>
    /// <exception cref="QmpException">Every path would be too long.</exception>
    public static ChannelAddress Choose(GuardedVmOptions options)
    {
        if (options.Incoming is { } wanted)
        {
            return wanted;
        }

        var monitor = options.Qmp!;
        if (!monitor.IsUnix)
        {
            return ChannelAddress.Tcp("127.0.0.1", 0);
        }

        var full = Path.GetFullPath(monitor.Path);
        var digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(full)))[..8];
        string?[] candidates =
        [
            $"{monitor.Path}.incoming",
            Path.Combine(Path.GetDirectoryName(monitor.Path) ?? "", $"dp-{digest}"),
            options.RuntimeFolder is { } folder ? Path.Combine(folder, $"incoming-{digest}") : null,
        ];
        var path = Array.Find(candidates,
            static one => one is not null && Encoding.UTF8.GetByteCount(one) <= ChannelAddress.MaxPathBytes);
        return path is not null ? ChannelAddress.Unix(path)
            : throw new QmpException($"no path beside the monitor's is short enough for a socket ({ChannelAddress.MaxPathBytes} bytes): "
                + "say with --incoming where QEMU is to listen");
    }

    /// <summary>Whether the address has no port yet, so that the guard must find a free one.</summary>
    public static bool NeedsPort(ChannelAddress address) => address is { IsUnix: false, Port: 0 };

    /// <summary>Returns addresses to try. Each port was free a moment ago, but another process may take it before QEMU does.</summary>
    public static IEnumerable<ChannelAddress> WithFreePort(ChannelAddress address)
    {
        for (var i = 0; i < FreePortAttempts; i++)
        {
            yield return ChannelAddress.Tcp(address.Host, FindFreePort());
        }
    }

    /// <summary>Whether QEMU reports that it listens where the guard would tell it to.</summary>
    /// <param name="expected">The address that the guard would tell it.</param>
    /// <param name="said">One address in the answer to <c>query-migrate</c>.</param>
    public static bool IsThere(ChannelAddress expected, JsonElement said)
    {
        var type = QmpText.Of(said, "type");
        if (expected.IsUnix)
        {
            return type == "unix" && QmpText.Of(said, "path") == expected.Path;
        }

        return type == "inet" && !NeedsPort(expected)
            && QmpText.Of(said, "port") == expected.Port.ToString(System.Globalization.CultureInfo.InvariantCulture)
            && QmpText.Of(said, "host") is { } host && (host == expected.Host || (IsEverywhere(host) && IsEverywhere(expected.Host)));
    }

    /// <summary>Returns an address that QEMU reports as text to show: every character that could drive a terminal is escaped.</summary>
    public static string Describe(JsonElement said)
    {
        var text = QmpText.Of(said, "type") switch
        {
            "unix" => $"unix:{QmpText.Of(said, "path")}",
            "inet" => $"{QmpText.Of(said, "host")}:{QmpText.Of(said, "port")}",
            var other => other ?? "nothing known",
        };
        return JsonEncodedText.Encode(QmpText.Cut(text)).ToString();
    }

    private static bool IsEverywhere(string host) => host is "" or "0.0.0.0" or "::";

    private static int FindFreePort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }
}
