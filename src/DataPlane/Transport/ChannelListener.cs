using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>An accepted connection: a blocking socket that the runtime's engine does not know. Whoever gets it owns it.</summary>
/// <param name="Socket">The socket.</param>
/// <param name="Peer">Whom it comes from.</param>
internal readonly record struct AcceptedSocket(SafeSocketHandle Socket, PeerAddress Peer);

/// <summary>One listening socket. <see cref="TryAccept"/> never blocks; wait for the handle in a poll set.</summary>
internal sealed class ChannelListener : IDisposable
{
    private readonly Socket _socket;
    private readonly string? _unixPath;

    private ChannelListener(Socket socket, ChannelAddress address)
    {
        _socket = socket;
        _unixPath = address.Path;
        Handle = socket.SafeHandle;
        LocalAddress = address.IsUnix ? address : ChannelAddress.From((IPEndPoint)socket.LocalEndPoint!);
    }

    /// <summary>The address on which it listens, with the real port.</summary>
    public ChannelAddress LocalAddress { get; }

    public SafeSocketHandle Handle { get; }

    /// <summary>
    /// Starts to listen. With a host name it listens on the first of its addresses, so that one port serves it; without a host on every
    /// address, of both families where the machine has both. A Unix socket on which nobody listens any more is replaced.
    /// </summary>
    /// <exception cref="ChannelException">It is not possible to listen on the address; the message has the reason.</exception>
    public static ChannelListener Listen(ChannelAddress address, ChannelOptions options) =>
        Listen(address, options, Dns.GetHostAddresses);

    /// <summary>Listens with a given function for finding the addresses of a host name, which is a parameter for the tests.</summary>
    public static ChannelListener Listen(ChannelAddress address, ChannelOptions options, Func<string, IPAddress[]> resolve)
    {
        Socket? socket = null;
        try
        {
            var local = Resolve(address, resolve);
            socket = new Socket(local.AddressFamily, SocketType.Stream, local is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);
            if (local is IPEndPoint ip)
            {
                // Otherwise the port stays taken while connections of an earlier run are in TIME_WAIT. The runtime's option of that name
                // must not be used: it sets SO_REUSEPORT too, and then two listeners share a port and each gets half of the channels.
                _ = SocketCalls.TrySetSocketOption(socket.SafeHandle, SocketCalls.LevelSocket, SocketCalls.OptionReuseAddress, 1);
                if (ip.AddressFamily == AddressFamily.InterNetworkV6)
                {
                    socket.DualMode = ip.Address.Equals(IPAddress.IPv6Any);
                }
            }
            else
            {
                RemoveStale(address.Path!);
            }

            SocketSetup.Apply(socket.SafeHandle, local.AddressFamily, options);
            socket.Bind(local);
            socket.Listen(options.ListenBacklog);
            if (!SocketCalls.TrySetBlocking(socket.SafeHandle, false))
            {
                LinuxException.ThrowLast("fcntl");
            }

            return new ChannelListener(socket, address);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            socket?.Dispose();
            throw new ChannelException("listener", ChannelEnd.Failed, 0, $"cannot listen on {address}: {WhyNot(address, e)}");
        }
    }

    /// <summary>
    /// The reason in words. For a Unix socket whose folder is missing, the runtime's message is about an address that cannot be assigned.
    /// </summary>
    private static string WhyNot(ChannelAddress address, Exception failure) =>
        failure is SocketException { SocketErrorCode: SocketError.AddressNotAvailable }
            && address.IsUnix && Path.GetDirectoryName(Path.GetFullPath(address.Path)) is { } folder && !Directory.Exists(folder)
            ? $"there is no folder '{folder}'" : failure.Message;

    /// <summary>
    /// Takes one waiting connection. With any outcome but <see cref="AcceptOutcome.Accepted"/>, <paramref name="errno"/> is the error
    /// number.
    /// </summary>
    public unsafe AcceptOutcome TryAccept(out AcceptedSocket accepted, out int errno)
    {
        var raw = stackalloc byte[SocketSetup.MaxAddress];
        uint length = SocketSetup.MaxAddress;
        accepted = default;
        // SAFETY: the buffer has the length given, and the kernel writes no more than that.
        var descriptor = SocketCalls.Accept(Handle, raw, &length, SocketCalls.SocketCloseOnExec);
        if (descriptor < 0)
        {
            errno = Marshal.GetLastPInvokeError();
            return SocketErrors.ClassifyAccept(errno);
        }

        errno = 0;
        var peer = SocketSetup.ReadEndPoint(new ReadOnlySpan<byte>(raw, (int)Math.Min(length, SocketSetup.MaxAddress)));
        accepted = new AcceptedSocket(
            new SafeSocketHandle(descriptor, ownsHandle: true), peer is null ? PeerAddress.Of(LocalAddress) : PeerAddress.Of(peer));
        return AcceptOutcome.Accepted;
    }

    public void Dispose()
    {
        _socket.Dispose();
        if (_unixPath is not null && FileFacts.IsSocket(_unixPath))
        {
            File.Delete(_unixPath);
        }
    }

    private static EndPoint Resolve(ChannelAddress address, Func<string, IPAddress[]> resolve)
    {
        if (address.IsUnix)
        {
            return new UnixDomainSocketEndPoint(address.Path);
        }

        if (address.Host.Length == 0)
        {
            return new IPEndPoint(Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any, address.Port);
        }

        if (IPAddress.TryParse(address.Host, out var literal))
        {
            return new IPEndPoint(literal, address.Port);
        }
        // A resolver may know a name and have no address for it that this machine can use.
        return resolve(address.Host) is [var first, ..] ? new IPEndPoint(first, address.Port)
            : throw new IOException($"'{address.Host}' has no address");
    }

    /// <summary>Removes a Unix socket whose owner is gone. Anything else, also a plain file, stays, and bind reports it.</summary>
    private static void RemoveStale(string path)
    {
        if (FileFacts.IsSocket(path) && SocketSetup.ProbeUnix(path) == Errno.ECONNREFUSED)
        {
            File.Delete(path);
        }
    }
}
