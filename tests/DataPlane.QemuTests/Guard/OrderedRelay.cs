using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Guard;

/// <summary>
/// The channels of one migration, accepted in any order and handed on in a certain one: main, then those that say nothing, then the rest.
/// </summary>
internal sealed class OrderedRelay : IAsyncDisposable
{
    private const uint MainMagic = 0x5145564D;

    private readonly List<Socket> _sockets = [];
    private readonly Socket[] _ordered;
    private readonly List<Task> _copying = [];

    private OrderedRelay(Socket[] accepted)
    {
        _sockets.AddRange(accepted);
        _ordered = [.. accepted.OrderBy(socket => IsMain(socket) ? 0 : socket.Available == 0 ? 1 : 2)];
        Silent = accepted.Count(socket => socket.Available == 0);
    }

    /// <summary>How many channels have said nothing.</summary>
    public int Silent { get; }

    /// <summary>Accepts <paramref name="count"/> channels, and waits until all of them but one have spoken.</summary>
    public static async Task<OrderedRelay> AcceptAsync(Socket listener, int count, CancellationToken token)
    {
        var accepted = new Socket[count];
        for (var i = 0; i < count; i++)
        {
            accepted[i] = await listener.AcceptAsync(token).AsTask().WaitAsync(Patience.Default, token);
        }

        await Eventually.TrueAsync(
            () => accepted.Count(socket => socket.Available >= sizeof(uint)) >= count - 1, "all channels but one have spoken", token);
        return new OrderedRelay(accepted);
    }

    /// <summary>Connects each channel after the one before it, and hands on what both ends say.</summary>
    public async Task ConnectSilentSecondAsync(int port, CancellationToken token)
    {
        foreach (var source in _ordered)
        {
            var destination = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            _sockets.Add(destination);
            await destination.ConnectAsync(IPAddress.Loopback, port, token);
            _copying.Add(CopyAsync(source, destination));
            _copying.Add(CopyAsync(destination, source));
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var socket in _sockets)
        {
            socket.Dispose();
        }

        await Task.WhenAll(_copying);
    }

    private static bool IsMain(Socket socket)
    {
        var magic = new byte[sizeof(uint)];
        return socket.Available >= magic.Length && socket.Receive(magic, SocketFlags.Peek) == magic.Length
            && BinaryPrimitives.ReadUInt32BigEndian(magic) == MainMagic;
    }

    private static async Task CopyAsync(Socket from, Socket to)
    {
        try
        {
            await using var reading = new NetworkStream(from);
            await using var writing = new NetworkStream(to);
            await reading.CopyToAsync(writing);
            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception exception) when (exception is IOException or SocketException or ObjectDisposedException)
        {
            // One end is gone, or the test is over.
        }
    }
}
