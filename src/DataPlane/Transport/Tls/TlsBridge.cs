using System.Net.Security;
using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Gives a TLS session a plain side that is an ordinary blocking socket, for code that works on sockets. That inner socket is one of a
/// pair, and the bridge moves the bytes between the other one and the session.
/// <code>
/// peer ==TLS== outer socket -- this -- own socket == inner socket, given away
///
/// peer ends (close_notify or not: FIN)   -> the inner socket reads an end, after everything before it; writing goes on
/// inner socket shut down for sending     -> [close_notify,] FIN to the peer; reading goes on
/// inner socket closed                    -> what it sent is delivered, the session is closed
/// session broken                         -> the inner socket reads an end and writes no more; <see cref="Failure"/> has the reason
/// </code>
/// </summary>
/// <remarks>
/// An end without close_notify is no error here, because QEMU's main channel never has one. A stream that has to be whole must show that
/// itself.
/// </remarks>
internal sealed class TlsBridge : IAsyncDisposable
{
    private const int InBytes = 64 * 1024;
    private const int OutBytes = 16 * 1024;

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(50);

    private readonly Stream _tls;
    private readonly Socket _outer;
    private readonly Socket _own;
    private readonly bool _sendsCloseNotify;
    private readonly TimeProvider _time;
    private volatile string? _failure;

    private TlsBridge(Stream tls, Socket outer, SafeSocketHandle own, bool sendsCloseNotify, TimeProvider time)
    {
        _tls = tls;
        _outer = outer;
        _own = new Socket(own);
        _sendsCloseNotify = sendsCloseNotify;
        _time = time;
        Completion = RunAsync();
    }

    /// <summary>Completes, without failing, when both directions are over and both sockets are closed.</summary>
    public Task Completion { get; }

    /// <summary>What broke the session; <see langword="null"/> when nothing did.</summary>
    public string? Failure => _failure;

    /// <summary>Begins to move the bytes.</summary>
    /// <param name="tls">
    /// The session, its handshake done, as a <see cref="TlsStream"/> or <see cref="SslStream"/>; the bridge owns it from now on.
    /// </param>
    /// <param name="outer">The socket below the session.</param>
    /// <param name="sendsCloseNotify">
    /// Whether close_notify is sent before FIN. QEMU as a server never sends it: bytes that a source does not read turn its last close into
    /// a reset, which destroys what the source has sent.
    /// </param>
    /// <param name="time">Clock of the waits.</param>
    /// <param name="inner">The inner socket; whoever gets it owns it.</param>
    /// <exception cref="LinuxException">No descriptors are left for the pair of sockets.</exception>
    public static TlsBridge Begin(Stream tls, Socket outer, bool sendsCloseNotify, TimeProvider time, out SafeSocketHandle inner)
    {
        (var own, inner) = SocketCalls.CreateSocketPair();
        return new TlsBridge(tls, outer, own, sendsCloseNotify, time);
    }

    /// <summary>Breaks off both sides, and returns when everything has ended.</summary>
    public async ValueTask DisposeAsync()
    {
        _outer.Dispose();
        _own.Dispose();
        await Completion.ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        await Task.Yield(); // the first pieces must not be moved on the caller's thread
        var incoming = MoveInAsync();
        var outgoing = MoveOutAsync();
        await Task.WhenAny(incoming, outgoing).ConfigureAwait(false);
        if (!incoming.IsCompleted)
        {
            await WatchInnerAsync(incoming).ConfigureAwait(false);
        }

        await Task.WhenAll(incoming, outgoing).ConfigureAwait(false);
        await _tls.DisposeAsync().ConfigureAwait(false);
        _outer.Dispose();
        _own.Dispose();
    }

    private async Task MoveInAsync()
    {
        var buffer = GC.AllocateUninitializedArray<byte>(InBytes);
        try
        {
            while (await _tls.ReadAsync(buffer).ConfigureAwait(false) is > 0 and var read)
            {
                await SendAllAsync(buffer.AsMemory(0, read)).ConfigureAwait(false);
            }

            _own.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (IsEnd(e))
        {
            Break(e);
        }
    }

    private async Task MoveOutAsync()
    {
        var buffer = GC.AllocateUninitializedArray<byte>(OutBytes);
        try
        {
            while (await ReceiveAsync(buffer).ConfigureAwait(false) is > 0 and var read)
            {
                await _tls.WriteAsync(buffer.AsMemory(0, read)).ConfigureAwait(false);
            }

            if (_sendsCloseNotify)
            {
                await (_tls is TlsStream ours ? ours.ShutdownAsync() : ((SslStream)_tls).ShutdownAsync()).ConfigureAwait(false);
            }

            _outer.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (IsEnd(e))
        {
            Break(e);
        }
    }

    /// <summary>
    /// Receives from the inner socket; 0 is its end. When it was closed with unread bytes, its end comes as a reset, after all that it has
    /// sent.
    /// </summary>
    private async ValueTask<int> ReceiveAsync(Memory<byte> buffer)
    {
        try
        {
            return await _own.ReceiveAsync(buffer).ConfigureAwait(false);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return 0;
        }
    }

    private async ValueTask SendAllAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _own.SendAsync(bytes).ConfigureAwait(false)..];
        }
    }

    /// <summary>
    /// Closes the outer socket when the inner one, which has finished sending, is closed. This can be asked but not waited for, because
    /// nothing is written to the inner socket while the peer is silent.
    /// </summary>
    private async Task WatchInnerAsync(Task incoming)
    {
        while (!incoming.IsCompleted)
        {
            try
            {
                if (PollCalls.HasHungUp(_own.SafeHandle))
                {
                    _outer.Dispose();
                }
            }
            catch (ObjectDisposedException)
            {
                return;
            }

            await Task.WhenAny(incoming, Task.Delay(s_look, _time)).ConfigureAwait(false);
        }
    }

    private void Break(Exception cause)
    {
        _failure ??= cause.InnerException?.Message ?? cause.Message;
        _outer.Dispose();
        _own.Dispose();
    }

    private static bool IsEnd(Exception e) =>
        e is IOException or SocketException or ObjectDisposedException or InvalidOperationException or OperationCanceledException;
}
