using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Serve;

/// <summary>The peer broke the control protocol, or went away in the middle of a message.</summary>
internal sealed class ControlException(string message, Exception? innerException = null) : IOException(message, innerException);

/// <summary>
/// Control messages over a stream: four bytes of length (big-endian), then that many bytes of JSON in UTF-8. Nothing from the peer is
/// trusted: the length is checked before anything is allocated for it, and a message that has begun must end in time.
/// </summary>
internal sealed class ControlConnection : IAsyncDisposable
{
    public const int MaxMessageBytes = 64 * 1024;

    /// <summary>Longest time between the first and the last byte of a message.</summary>
    public static readonly TimeSpan MessageTimeout = TimeSpan.FromSeconds(10);

    private const int LengthBytes = 4;

    private readonly Stream _stream;
    private readonly TimeProvider _time;

    public ControlConnection(Stream stream, string peer, TimeProvider time)
    {
        _stream = stream;
        Peer = peer;
        _time = time;
    }

    /// <summary>The name of the other side, for messages.</summary>
    public string Peer { get; }

    /// <summary>Reads the next message; null when the peer has closed between two messages.</summary>
    /// <param name="idleTimeout">The longest wait for the first byte of the message; null waits for ever.</param>
    /// <exception cref="ControlException">The message is too long, truncated or late, or is no message.</exception>
    public async Task<ControlMessage?> ReadAsync(TimeSpan? idleTimeout, CancellationToken cancellation)
    {
        var length = new byte[LengthBytes];
        var first = await ReadWithinAsync(length.AsMemory(0, 1), idleTimeout, "no message", cancellation).ConfigureAwait(false);
        if (first == 0)
        {
            return null;
        }

        await ReadRestAsync(length.AsMemory(1), cancellation).ConfigureAwait(false);
        var size = BinaryPrimitives.ReadUInt32BigEndian(length);
        if (size is 0 or > MaxMessageBytes)
        {
            throw new ControlException($"control message of {size} bytes from {Peer}; 1 to {MaxMessageBytes} are allowed");
        }

        var body = new byte[size];
        await ReadRestAsync(body, cancellation).ConfigureAwait(false);
        return Parse(body);
    }

    public async Task WriteAsync(ControlMessage message, CancellationToken cancellation)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(message, ControlJson.Default.ControlMessage);
        if (body.Length > MaxMessageBytes)
        {
            throw new ControlException($"control message of {body.Length} bytes is over the limit of {MaxMessageBytes}");
        }

        var frame = new byte[LengthBytes + body.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, body.Length);
        body.CopyTo(frame, LengthBytes);
        using var deadline = new CancellationTokenSource(MessageTimeout, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        try
        {
            await _stream.WriteAsync(frame, both.Token).ConfigureAwait(false);
            await _stream.FlushAsync(both.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new ControlException($"{Peer} did not take a control message within {MessageTimeout.TotalSeconds:0} s");
        }
    }

    /// <summary>
    /// Waits while it is not the peer's turn. True when the peer closes, fails or sends all the same, after which the connection is of no
    /// more use; false when cancelled first, with nothing lost.
    /// </summary>
    public async Task<bool> WaitForPeerAsync(CancellationToken cancellation)
    {
        try
        {
            _ = await _stream.ReadAsync(new byte[1], cancellation).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    private ControlMessage Parse(byte[] body)
    {
        try
        {
            return JsonSerializer.Deserialize(body, ControlJson.Default.ControlMessage)
                ?? throw new ControlException($"control message from {Peer} is null");
        }
        catch (Exception exception) when (exception is JsonException or NotSupportedException)
        {
            var start = OneLine.Of(Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 40))));
            throw new ControlException($"not a control message from {Peer}: {start}", exception);
        }
    }

    private async Task ReadRestAsync(Memory<byte> buffer, CancellationToken cancellation)
    {
        var read = await ReadWithinAsync(buffer, MessageTimeout, "an unfinished message", cancellation).ConfigureAwait(false);
        if (read < buffer.Length)
        {
            throw new ControlException($"{Peer} closed the control connection in the middle of a message");
        }
    }

    /// <summary>Reads until the buffer is full or the stream ends.</summary>
    private async Task<int> ReadWithinAsync(Memory<byte> buffer, TimeSpan? limit, string what, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(limit ?? Timeout.InfiniteTimeSpan, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        try
        {
            return await _stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, both.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new ControlException($"{what} from {Peer} for {limit!.Value.TotalSeconds:0} s");
        }
        catch (IOException exception)
        {
            throw new ControlException($"control connection to {Peer} failed: {exception.Message}", exception);
        }
    }

    public ValueTask DisposeAsync() => _stream.DisposeAsync();
}
