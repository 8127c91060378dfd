using System.Net;
using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.Wire;

namespace DataPlane.Tests.Migration;

/// <summary>A source that sends whatever bytes a test wants, on as many connections as it wants.</summary>
internal sealed class RawSource(ChannelAddress destination) : IDisposable
{
    public static readonly Guid Uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    private readonly List<Socket> _sockets = [];

    public Socket Connect()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPAddress.Parse(destination.Host), destination.Port);
        _sockets.Add(socket);
        return socket;
    }

    /// <summary>
    /// Listens on main beside what the test does; closes it when the destination has sent SHUT, as a source does.
    /// </summary>
    public static Task<byte[]> ListenTo(Socket main) => Task.Run(() =>
    {
        var said = ReadToEnd(main);
        main.Dispose();
        return said;
    });

    public Socket Main(RecordedStream stream)
    {
        var socket = Connect();
        socket.Send(stream.Bytes);
        return socket;
    }

    public Socket Multifd(byte id)
    {
        var socket = Connect();
        var init = new byte[MultifdInit.Size];
        new MultifdInit(Uuid, id).Write(init);
        socket.Send(init);
        return socket;
    }

    /// <summary>A packet header: the setup sync, or pages of a block at the given offsets.</summary>
    public static byte[] Sync() => Packet(static header => MultifdPacketWriter.WriteSync(header, 0));

    public static byte[] Pages(string block, params long[] offsets) => Packet(header =>
    {
        var packet = MultifdPacketWriter.Begin(header, System.Text.Encoding.UTF8.GetBytes(block), 1);
        foreach (var offset in offsets)
        {
            packet.AddNormal(offset);
        }

        packet.Finish(packet.NormalPages * 4096);
    });

    /// <summary>Reads until the destination ends the connection; what it said on the way.</summary>
    public static byte[] ReadToEnd(Socket socket)
    {
        socket.ReceiveTimeout = 10_000;
        using var said = new MemoryStream();
        var buffer = new byte[256];
        try
        {
            for (int count; (count = socket.Receive(buffer)) > 0;)
            {
                said.Write(buffer, 0, count);
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode is SocketError.ConnectionReset)
        {
            // An end as well.
        }

        return said.ToArray();
    }

    public static void Reset(Socket socket)
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    public void Dispose()
    {
        foreach (var socket in _sockets)
        {
            socket.Dispose();
        }
    }

    private static byte[] Packet(Action<byte[]> write)
    {
        var header = new byte[MultifdPacket.HeaderSize];
        write(header);
        return header;
    }
}
