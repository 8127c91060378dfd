using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

internal sealed partial class Channel
{
    private readonly Lock _streamLock = new();
    private ChannelStream? _stream;
    private PipeReader? _input;
    private PipeWriter? _output;
    private BlockingPipeReader? _reader;

    /// <summary>
    /// The channel as a stream to read, on blocks of the pool. Its first use makes the socket non-blocking and registers it with the
    /// runtime's epoll thread for good. Reading throws <see cref="ChannelException"/> unless the peer has closed in order.
    /// </summary>
    internal PipeReader Input
    {
        get
        {
            lock (_streamLock)
            {
                return _input ??= PipeReader.Create(
                    Stream, new StreamPipeReaderOptions(_pool.For(Name + " input"), _pool.BlockBytes, leaveOpen: true));
            }
        }
    }

    /// <summary>
    /// The channel as a stream to write, on blocks of the pool; nothing is sent before a flush. Its first use makes the socket non-blocking
    /// and registers it with the runtime's epoll thread for good.
    /// </summary>
    internal PipeWriter Output
    {
        get
        {
            lock (_streamLock)
            {
                return _output ??= PipeWriter.Create(
                    Stream, new StreamPipeWriterOptions(_pool.For(Name + " output"), _pool.BlockBytes, leaveOpen: true));
            }
        }
    }

    /// <summary>
    /// The channel as a stream that the reading thread fills itself, on blocks of the pool. It stays the same, with what it has buffered,
    /// for every reader of the channel, one after the other. Reading throws <see cref="ChannelException"/> unless the peer has closed in
    /// order. To be called by the reading thread, or before it starts.
    /// </summary>
    /// <param name="cancellable">Whether a read that waits can be cancelled; the first call decides.</param>
    /// <param name="doing">What is read from now on, for the message when the connection is lost.</param>
    internal BlockingPipeReader OpenReader(bool cancellable = false, string? doing = null)
    {
        lock (_streamLock)
        {
            var reader = _reader ??= new BlockingPipeReader(FillReader, _pool, Name + " input", cancellable);
            reader.Doing = doing;
            return reader;
        }
    }

    private ChannelStream Stream => _stream ??= new ChannelStream(this);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<int> ReadStreamAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (_prependedTaken < _prepended.Length)
        {
            return TakePrepended(buffer.Span);
        }

        try
        {
            if (_tls is { } tls)
            {
                return await ReadTlsAsync(tls, buffer, cancellationToken).ConfigureAwait(false);
            }

            var bytes = await _socket.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
            ReceiveCalls++;
            BytesReceived += bytes;
            return bytes == 0 && IsAborted ? throw StreamEnded(Errno.ECONNABORTED) : bytes;
        }
        catch (SocketException e)
        {
            throw StreamEnded(e.NativeErrorCode);
        }
        catch (ObjectDisposedException)
        {
            throw StreamEnded(Errno.ECONNABORTED);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    internal async ValueTask WriteStreamAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            if (_tls is { } tls)
            {
                await WriteTlsAsync(tls, buffer, cancellationToken).ConfigureAwait(false);
                return;
            }

            var bytes = await _socket.SendAsync(buffer, cancellationToken).ConfigureAwait(false);
            SendCalls++;
            BytesSent += bytes;
        }
        catch (OperationCanceledException)
        {
            // Nobody knows how many of the bytes have left, and the peer could not tell a stream that goes on from here from a whole one.
            Abort();
            throw;
        }
        catch (SocketException e)
        {
            throw StreamEnded(e.NativeErrorCode);
        }
        catch (ObjectDisposedException)
        {
            throw StreamEnded(Errno.ECONNABORTED);
        }
    }

    private ChannelException StreamEnded(int errno) => AbortCause is { } cause
        ? new ChannelException(cause.Reason, cause.Channel, cause.Message, cause)
        : IsAborted ? new ChannelException(Name, ChannelEnd.Aborted, 0, "aborted by this side")
        : TlsFailure is { } failure ? new ChannelException(FailureReason.TlsFailed, Name, failure)
        : errno == Errno.EPROTO ? new ChannelException(FailureReason.PeerClosed, Name, "the connection ended inside a TLS record")
        : new ChannelException(Name, SocketErrors.Classify(errno), errno, "connection lost");

    private int FillReader(IoVec room, EventFd? wake, string? doing)
    {
        var result = ReceiveSome(room, wake);
        return result.End switch
        {
            ChannelEnd.None => result.Bytes == 0 ? -1 : (int)result.Bytes,
            ChannelEnd.Closed => 0,
            _ => throw Failed(result, doing),
        };
    }

    /// <summary>
    /// The exception for a transfer that did not complete. <paramref name="doing"/> is what was being done; null if it goes without saying.
    /// </summary>
    internal ChannelException Failed(TransferResult result, string? doing) =>
        doing is null ? StreamEnded(result.Errno) : ChannelException.From(result, this, doing);

    private async ValueTask FlushStreamAsync(CancellationToken cancellationToken)
    {
        if (_output is { UnflushedBytes: > 0 } output && !IsAborted)
        {
            _ = await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask CompleteStreamsAsync()
    {
        // Completed with an error, so that the writer drops what could not be flushed instead of trying once more.
        if (_output is not null)
        {
            await _output.CompleteAsync(new ChannelException(Name, ChannelEnd.Aborted, 0, "closed")).ConfigureAwait(false);
        }

        if (_input is not null)
        {
            await _input.CompleteAsync().ConfigureAwait(false);
        }

        _reader?.Abandon();
    }
}
