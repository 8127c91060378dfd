using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace DataPlane.GuardPair;

/// <summary>
/// The two channels of a postcopy that count when a vCPU waits for a page: the request goes back on main, the page comes on preempt. Both
/// ends are here, the source answering from memory at once, so that nothing is measured but the way there and back.
/// </summary>
/// <param name="pageBytes">Size of a page.</param>
/// <param name="onPage">What is done with a page when it is there, which counts too.</param>
internal sealed class PageExchange(int pageBytes = 4096, Action<int, ReadOnlySpan<byte>>? onPage = null) : IDisposable
{
    private const ulong Page = 0x008;
    private const ulong Continue = 0x020;

    private static readonly byte[] s_mainHeader = [0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3, 0x07, 0, 0, 0, 11, .. "pc-q35-11.1"u8, 8];

    private readonly Socket _listener = Listen();
    private readonly Socket _sourceMain = NewSocket();
    private readonly Socket _sourcePreempt = NewSocket();
    private Socket? _main;
    private Socket? _preempt;
    private volatile bool _ended;

    /// <summary>Where the destination listens.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>Connects through <paramref name="port"/> and asks for pages, one after the other.</summary>
    /// <param name="port">The front's, or <see cref="Port"/> itself.</param>
    /// <param name="requests">How many pages.</param>
    /// <param name="busy">Whether background pages keep main busy meanwhile.</param>
    /// <returns>Microseconds from the request until the page is there whole, in order.</returns>
    public double[] Run(int port, int requests, bool busy)
    {
        _sourceMain.Connect(IPAddress.Loopback, port);
        _sourceMain.Send(s_mainHeader);
        _main = _listener.Accept();
        _main.NoDelay = true;
        Receive(_main, new byte[s_mainHeader.Length]);
        _sourcePreempt.Connect(IPAddress.Loopback, port);
        _preempt = _listener.Accept();

        List<Thread> threads = [Start(AnswerRequests)];
        if (busy)
        {
            threads.AddRange([Start(SendBackground), Start(TakeBackground)]);
        }

        try
        {
            return AskForPages(_main, _preempt, requests);
        }
        finally
        {
            Dispose();
            threads.ForEach(thread => thread.Join());
        }
    }

    public void Dispose()
    {
        _ended = true;
        foreach (var socket in (Socket?[])[_sourceMain, _sourcePreempt, _main, _preempt, _listener])
        {
            if (socket is { Connected: true })
            {
                socket.Shutdown(SocketShutdown.Both); // wakes whoever waits in it
            }

            socket?.Dispose();
        }
    }

    private static Socket NewSocket() => new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    private static Socket Listen()
    {
        var listener = NewSocket();
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(4);
        return listener;
    }

    private double[] AskForPages(Socket main, Socket preempt, int requests)
    {
        var samples = new double[requests];
        var record = new byte[8 + 7 + pageBytes];
        for (var i = 0; i < requests; i++)
        {
            var request = Request((ulong)i * (ulong)pageBytes, named: i == 0);
            var asked = Stopwatch.GetTimestamp();
            main.Send(request);
            Receive(preempt, record.AsSpan(0, i == 0 ? record.Length : 8 + pageBytes));
            onPage?.Invoke(i, record.AsSpan(i == 0 ? 8 + 7 : 8, pageBytes));
            samples[i] = Stopwatch.GetElapsedTime(asked).TotalMicroseconds;
            if (BinaryPrimitives.ReadUInt64BigEndian(record) / (ulong)pageBytes != (ulong)i)
            {
                throw new InvalidDataException("another page than the one asked for");
            }
        }

        return samples;
    }

    /// <summary>REQ_PAGES_ID with the block's name, or REQ_PAGES.</summary>
    private byte[] Request(ulong offset, bool named)
    {
        var request = new byte[4 + 12 + (named ? 7 : 0)];
        BinaryPrimitives.WriteUInt16BigEndian(request, (ushort)(named ? 3 : 4));
        BinaryPrimitives.WriteUInt16BigEndian(request.AsSpan(2), (ushort)(request.Length - 4));
        BinaryPrimitives.WriteUInt64BigEndian(request.AsSpan(4), offset);
        BinaryPrimitives.WriteUInt32BigEndian(request.AsSpan(12), (uint)pageBytes);
        if (named)
        {
            ((ReadOnlySpan<byte>)[6, .. "pc.ram"u8]).CopyTo(request.AsSpan(16));
        }

        return request;
    }

    private static void Receive(Socket socket, Span<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            var read = socket.Receive(buffer);
            if (read == 0)
            {
                throw new EndOfStreamException("the connection ended");
            }

            buffer = buffer[read..];
        }
    }

    private void AnswerRequests()
    {
        var request = new byte[4 + 12 + 7];
        var record = new byte[8 + 7 + pageBytes];
        record.AsSpan(15).Fill(0xA5);
        for (; ; )
        {
            Receive(_sourceMain, request.AsSpan(0, 4));
            Receive(_sourceMain, request.AsSpan(4, BinaryPrimitives.ReadUInt16BigEndian(request.AsSpan(2))));
            var named = request[1] == 3;
            var offset = BinaryPrimitives.ReadUInt64BigEndian(request.AsSpan(4));
            // Without the name the record is shorter at its head: the page stays where it is.
            var answer = record.AsSpan(named ? 0 : 7);
            BinaryPrimitives.WriteUInt64BigEndian(answer, offset | Page | (named ? 0 : Continue));
            if (named)
            {
                ((ReadOnlySpan<byte>)[6, .. "pc.ram"u8]).CopyTo(answer[8..]);
            }

            _sourcePreempt.Send(answer);
        }
    }

    private void SendBackground()
    {
        var pages = new byte[1 << 20];
        for (; ; )
        {
            _sourceMain.Send(pages);
        }
    }

    private void TakeBackground()
    {
        var pages = new byte[1 << 20];
        while (_main!.Receive(pages) > 0)
        {
            // Thrown away: only the way here counts.
        }
    }

    private Thread Start(Action loop)
    {
        var thread = new Thread(() =>
        {
            try
            {
                loop();
            }
            catch (Exception error) when (_ended && error is SocketException or ObjectDisposedException or EndOfStreamException)
            {
                // The exchange is over.
            }
        })
        { IsBackground = true };
        thread.Start();
        return thread;
    }
}
