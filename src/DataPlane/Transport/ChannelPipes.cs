using System.IO.Pipelines;

namespace DataPlane.Transport;

/// <summary>The pipes of a channel over its stream. Each is made when it is asked for first. Thread-safe.</summary>
internal sealed class ChannelPipes(ChannelStream stream, BlockPool pool, string channel)
{
    private readonly Lock _gate = new();
    private PipeReader? _input;
    private PipeWriter? _output;
    private BlockingPipeReader? _reader;

    public PipeReader Input
    {
        get
        {
            lock (_gate)
            {
                return _input ??= PipeReader.Create(
                    stream, new StreamPipeReaderOptions(pool.For(channel + " input"), pool.BlockBytes, leaveOpen: true));
            }
        }
    }

    public PipeWriter Output
    {
        get
        {
            lock (_gate)
            {
                return _output ??= PipeWriter.Create(
                    stream, new StreamPipeWriterOptions(pool.For(channel + " output"), pool.BlockBytes, leaveOpen: true));
            }
        }
    }

    /// <inheritdoc cref="Channel.OpenReader"/>
    public BlockingPipeReader OpenReader(BlockingPipeReader.ReceiveCall receive, bool cancellable, string? doing)
    {
        lock (_gate)
        {
            var reader = _reader ??= new BlockingPipeReader(receive, pool, channel + " input", cancellable);
            reader.Doing = doing;
            return reader;
        }
    }

    /// <summary>Sends what was written and not flushed.</summary>
    public async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        if (_output is { UnflushedBytes: > 0 } output)
        {
            _ = await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Returns the blocks of both pipes, and drops what could not be flushed.</summary>
    public async ValueTask CompleteAsync()
    {
        // Completed with an error, so that the writer does not try to flush once more.
        if (_output is not null)
        {
            await _output.CompleteAsync(new ChannelException(channel, ChannelEnd.Aborted, 0, "closed")).ConfigureAwait(false);
        }

        if (_input is not null)
        {
            await _input.CompleteAsync().ConfigureAwait(false);
        }

        _reader?.Abandon();
    }
}
