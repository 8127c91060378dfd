using System.Net;
using System.Net.Sockets;

namespace DataPlane.TestSupport;

/// <summary>How a <see cref="ScriptedPeer"/> saw its connection end.</summary>
internal enum PeerEnd
{
    Closed,
    Reset,
}

/// <summary>A hand-driven end of a connection: says exactly the bytes it is told to, and reports what came back and how it ended.</summary>
internal sealed class ScriptedPeer : IDisposable
{
    internal ScriptedPeer(Socket socket)
    {
        Socket = socket;
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            socket.NoDelay = true;
        }
    }

    internal Socket Socket { get; }

    /// <summary>Connects at once; <paramref name="from"/> is a local address such as 127.0.0.2.</summary>
    internal static ScriptedPeer Connect(ChannelAddress address, IPAddress? from = null)
    {
        var remote = EndPointOf(address);
        var socket = new Socket(remote.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        if (from is not null)
        {
            socket.Bind(new IPEndPoint(from, 0));
        }

        socket.Connect(remote);
        return new ScriptedPeer(socket);
    }

    /// <summary>An address with a literal IP (without one: loopback) or a Unix path as an end point.</summary>
    internal static EndPoint EndPointOf(ChannelAddress address) =>
        address.IsUnix ? new UnixDomainSocketEndPoint(address.Path)
        : IPAddress.TryParse(address.Host, out var ip) && !ip.Equals(IPAddress.Any) && !ip.Equals(IPAddress.IPv6Any)
            ? new IPEndPoint(ip, address.Port)
        : new IPEndPoint(IPAddress.Loopback, address.Port);

    /// <summary>Sends all bytes; blocks while the peer's window is closed.</summary>
    internal ScriptedPeer Send(params ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[Socket.Send(bytes)..];
        }

        return this;
    }

    /// <summary>Sends each byte in a segment of its own.</summary>
    internal ScriptedPeer SendSingly(ReadOnlySpan<byte> bytes)
    {
        foreach (var b in bytes)
        {
            Send(b);
        }

        return this;
    }

    /// <summary>FIN: nothing more comes from here, reading goes on.</summary>
    internal ScriptedPeer Finish()
    {
        Socket.Shutdown(SocketShutdown.Send);
        return this;
    }

    /// <summary>RST.</summary>
    internal void Reset()
    {
        Socket.LingerState = new LingerOption(true, 0);
        Socket.Dispose();
    }

    /// <summary>Reads exactly <paramref name="count"/> bytes.</summary>
    internal async Task<byte[]> ReceiveAsync(int count, CancellationToken cancellationToken)
    {
        var bytes = new byte[count];
        for (var done = 0; done < count;)
        {
            var n = await Socket.ReceiveAsync(bytes.AsMemory(done), cancellationToken);
            if (n == 0)
            {
                throw new EndOfStreamException($"{done} of {count} bytes came");
            }

            done += n;
        }

        return bytes;
    }

    /// <summary>Reads to the end and says which it was; the bytes are those that came before it.</summary>
    internal async Task<(PeerEnd End, byte[] Bytes)> ReadToEndAsync(CancellationToken cancellationToken)
    {
        using MemoryStream all = new();
        var buffer = new byte[64 * 1024];
        try
        {
            while (true)
            {
                var n = await Socket.ReceiveAsync(buffer, cancellationToken);
                if (n == 0)
                {
                    return (PeerEnd.Closed, all.ToArray());
                }

                all.Write(buffer, 0, n);
            }
        }
        catch (SocketException e)
            when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.ConnectionAborted or SocketError.Shutdown)
        {
            return (PeerEnd.Reset, all.ToArray());
        }
    }

    public void Dispose() => Socket.Dispose();
}
