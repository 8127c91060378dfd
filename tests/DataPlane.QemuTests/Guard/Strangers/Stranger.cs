using System.Net;
using System.Net.Sockets;

namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>
/// One connection that is not the source's. It does what its kind does until it is disposed, whatever the other side does.
/// </summary>
internal sealed class Stranger : IAsyncDisposable
{
    private readonly Socket _socket;
    private readonly CancellationTokenSource _enough = new();
    private readonly Task _conduct;

    private Stranger(Socket socket, StrangerKind kind, StrangerTarget target)
    {
        _socket = socket;
        Kind = kind;
        _conduct = ConductAsync(target);
    }

    public StrangerKind Kind { get; }

    /// <summary>Connects and begins; returns once the connection stands and what its kind says at once has been said.</summary>
    /// <param name="kind">What it is.</param>
    /// <param name="port">Where to, on 127.0.0.1.</param>
    /// <param name="target">What it knows.</param>
    /// <param name="from">Its own address.</param>
    /// <param name="token">Ends the waiting.</param>
    public static async Task<Stranger> ConnectAsync(
        StrangerKind kind, int port, StrangerTarget target, IPAddress from, CancellationToken token)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.Bind(new IPEndPoint(from, 0));
            await socket.ConnectAsync(IPAddress.Loopback, port, token);
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionReset)
        {
            // It was connected and thrown out before the runtime looked at the outcome: what may happen to strangers.
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        var stranger = new Stranger(socket, kind, target);
        if (kind.Pace == TimeSpan.Zero)
        {
            await stranger._conduct;
        }

        return stranger;
    }

    /// <summary>True when the other side has closed or reset the connection within the time.</summary>
    public async Task<bool> IsRefusedAsync(TimeSpan within)
    {
        using var deadline = new CancellationTokenSource(within);
        try
        {
            // Nothing is ever sent to a stranger: a byte would be a bug, and is not taken for an end.
            return await _socket.ReceiveAsync(new byte[1], deadline.Token) == 0;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            return true;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _enough.CancelAsync();
        _socket.Dispose();
        await _conduct;
        _enough.Dispose();
    }

    private async Task ConductAsync(StrangerTarget target)
    {
        try
        {
            var bytes = Kind.Bytes(target);
            if (Kind.Pace == TimeSpan.Zero)
            {
                await _socket.SendAsync(bytes, _enough.Token);
            }
            else
            {
                foreach (var value in bytes)
                {
                    await Task.Delay(Kind.Pace, _enough.Token);
                    await _socket.SendAsync(new[] { value }, _enough.Token);
                }
            }

            if (Kind.Ending == StrangerEnding.Stays)
            {
                return;
            }

            if (Kind.Ending == StrangerEnding.Resets)
            {
                _socket.LingerState = new LingerOption(true, 0);
            }

            _socket.Close();
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // Thrown out, or called off: that is what may happen to strangers.
        }
    }
}
