using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>Creates sockets outside the runtime's engine and turns <see cref="ChannelOptions"/> into socket options.</summary>
internal static class SocketSetup
{
    public const int MaxAddress = 128; // struct sockaddr_storage

    public static SafeSocketHandle Create(AddressFamily family, bool blocking)
    {
        var number = family switch
        {
            AddressFamily.Unix => SocketCalls.FamilyUnix,
            AddressFamily.InterNetworkV6 => SocketCalls.FamilyIPv6,
            _ => SocketCalls.FamilyIPv4,
        };
        const int Type = SocketCalls.SocketStream | SocketCalls.SocketCloseOnExec;
        var descriptor = SocketCalls.Socket(number, Type | (blocking ? 0 : SocketCalls.SocketNonBlocking), 0);
        if (descriptor < 0)
        {
            LinuxException.ThrowLast("socket");
        }

        return new SafeSocketHandle(descriptor, ownsHandle: true);
    }

    /// <summary>
    /// Applies <paramref name="options"/> to a socket. On a listener it must be called before listen: then accepted sockets inherit all of
    /// them, and the buffers count for the window that is offered at connect.
    /// </summary>
    public static void Apply(SafeSocketHandle socket, AddressFamily family, ChannelOptions options)
    {
        if (options.SendBufferBytes is { } send)
        {
            Set(socket, SocketCalls.LevelSocket, SocketCalls.OptionSendBuffer, send, nameof(ChannelOptions.SendBufferBytes));
        }

        if (options.ReceiveBufferBytes is { } receive)
        {
            Set(socket, SocketCalls.LevelSocket, SocketCalls.OptionReceiveBuffer, receive, nameof(ChannelOptions.ReceiveBufferBytes));
        }

        if (family == AddressFamily.Unix)
        {
            return;
        }

        Set(socket, SocketCalls.LevelTcp, SocketCalls.TcpNoDelay, options.NoDelay ? 1 : 0, nameof(ChannelOptions.NoDelay));
        if (options.KeepAliveTime is { } idle)
        {
            Set(socket, SocketCalls.LevelSocket, SocketCalls.OptionKeepAlive, 1, nameof(ChannelOptions.KeepAliveTime));
            Set(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepIdle, (int)idle.TotalSeconds, nameof(ChannelOptions.KeepAliveTime));
            Set(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepInterval,
                (int)options.KeepAliveInterval.TotalSeconds, nameof(ChannelOptions.KeepAliveInterval));
            Set(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepCount, options.KeepAliveProbes, nameof(ChannelOptions.KeepAliveProbes));
        }

        if (options.UserTimeout is { } timeout)
        {
            Set(socket, SocketCalls.LevelTcp, SocketCalls.TcpUserTimeout,
                (int)timeout.TotalMilliseconds, nameof(ChannelOptions.UserTimeout));
        }
    }

    public static void Bind(SafeSocketHandle socket, EndPoint local)
    {
        if (Call(socket, local, connect: false) is var errno and not 0)
        {
            throw new LinuxException("bind", errno, local.ToString());
        }
    }

    /// <summary>Starts or finishes a connect; returns the error number, 0 when it is connected.</summary>
    public static int Connect(SafeSocketHandle socket, EndPoint remote) => Call(socket, remote, connect: true);

    /// <summary>
    /// Tries once to connect to the Unix socket at <paramref name="path"/>, and closes the connection. Returns the error number:
    /// ECONNREFUSED when nobody listens there, 0 or EAGAIN (the backlog is full) when somebody does. It never waits. A blocking connect
    /// would wait until a listener with a full backlog accepts a connection.
    /// </summary>
    public static int ProbeUnix(string path)
    {
        using var probe = Create(AddressFamily.Unix, blocking: false);
        return Connect(probe, new UnixDomainSocketEndPoint(path));
    }

    /// <summary>
    /// Whether a socket is connected to itself. TCP allows this, and it happens when a free local port is dialled that lies in the range of
    /// ports for outgoing connections: with the usual migration ports, 49152 and up, once in some ten thousand tries.
    /// </summary>
    public static unsafe bool IsSelfConnected(SafeSocketHandle socket, EndPoint remote)
    {
        var raw = stackalloc byte[MaxAddress];
        uint length = MaxAddress;
        // SAFETY: the buffer has the length given, and the kernel writes no more than that.
        return SocketCalls.GetSocketName(socket, raw, &length) == 0
            && remote.Equals(ReadEndPoint(new ReadOnlySpan<byte>(raw, (int)Math.Min(length, MaxAddress))));
    }

    /// <summary>The end point in a socket address that the kernel has filled in; null unless it is IPv4 or IPv6.</summary>
    public static IPEndPoint? ReadEndPoint(ReadOnlySpan<byte> raw)
    {
        var family = raw.Length >= 2 ? MemoryMarshal.Read<ushort>(raw) : (ushort)SocketCalls.FamilyUnspecified;
        var pattern = family switch
        {
            SocketCalls.FamilyIPv4 => new IPEndPoint(IPAddress.Any, 0),
            SocketCalls.FamilyIPv6 => new IPEndPoint(IPAddress.IPv6Any, 0),
            _ => null,
        };
        if (pattern is null)
        {
            return null;
        }

        SocketAddress address = new(pattern.AddressFamily, raw.Length);
        raw.CopyTo(address.Buffer.Span);
        return (IPEndPoint)pattern.Create(address);
    }

    /// <summary>
    /// Sends the acknowledgement that the kernel may be holding back. The next ones are not delayed either, until the kernel decides to
    /// delay again; so this belongs after every read. Without effect on sockets other than TCP.
    /// </summary>
    public static void AcknowledgeAtOnce(SafeSocketHandle socket)
    {
        try
        {
            _ = SocketCalls.TrySetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpQuickAck, 1);
        }
        catch (ObjectDisposedException)
        {
            // The channel was aborted meanwhile. The next read says why.
        }
    }

    /// <summary>
    /// Whether anything that was sent, or more than one probe of the peer's closed window, waits for an acknowledgement, and how long ago
    /// the last one came. False on sockets other than TCP.
    /// </summary>
    public static unsafe bool AwaitsAcknowledgement(SafeSocketHandle socket, out TimeSpan sinceLast)
    {
        // struct tcp_info, which only ever grows at its end: u8 tcpi_probes, u32 tcpi_unacked, u32 tcpi_last_ack_recv in milliseconds.
        const int Probes = 3, Unacknowledged = 24, LastAcknowledgement = 56;
        var info = stackalloc byte[LastAcknowledgement + sizeof(uint)];
        uint length = LastAcknowledgement + sizeof(uint);
        // SAFETY: the kernel writes no more than the length given.
        var known = SocketCalls.GetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpInformation, info, &length) == 0
            && length >= LastAcknowledgement + sizeof(uint);
        sinceLast = known ? TimeSpan.FromMilliseconds(*(uint*)(info + LastAcknowledgement)) : TimeSpan.Zero;
        // A single probe of a closed window may be lost, and the next one may come up to two minutes later.
        return known && (info[Probes] > 1 || *(uint*)(info + Unacknowledged) != 0);
    }

    /// <summary>
    /// Makes the kernel ask every second whether the peer still holds the connection, and end it when the peer's machine denies that, or
    /// answers nothing for <paramref name="limit"/>. The peer's program notices nothing. Without effect on sockets other than TCP, whose
    /// end is never lost.
    /// </summary>
    public static void Probe(SafeSocketHandle socket, TimeSpan limit)
    {
        _ = SocketCalls.TrySetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepIdle, 1)
            && SocketCalls.TrySetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepInterval, 1)
            && SocketCalls.TrySetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpUserTimeout, (int)limit.TotalMilliseconds)
            && SocketCalls.TrySetSocketOption(socket, SocketCalls.LevelSocket, SocketCalls.OptionKeepAlive, 1);
    }

    /// <summary>
    /// Limits the bytes that wait in the kernel for the network to <paramref name="bytes"/>, so that what is sent later waits for fewer.
    /// Without effect on sockets other than TCP.
    /// </summary>
    public static void LimitUnsent(SafeSocketHandle socket, int bytes) =>
        _ = SocketCalls.TrySetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpNotSentLowWater, bytes);

    private static unsafe int Call(SafeSocketHandle socket, EndPoint endPoint, bool connect)
    {
        var address = endPoint.Serialize();
        // SAFETY: the buffer is fixed for the call and Size bytes long.
        fixed (byte* raw = address.Buffer.Span)
        {
            var result = connect ? SocketCalls.Connect(socket, raw, (uint)address.Size) : SocketCalls.Bind(socket, raw, (uint)address.Size);
            return result == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    private static void Set(SafeSocketHandle socket, int level, int option, int value, string name)
    {
        if (!SocketCalls.TrySetSocketOption(socket, level, option, value))
        {
            LinuxException.ThrowLast("setsockopt", name);
        }
    }
}
