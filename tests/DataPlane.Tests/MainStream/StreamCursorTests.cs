using System.IO.Pipelines;
using DataPlane.MainStream;
using Xunit;

namespace DataPlane.Tests.MainStream;

public sealed class StreamCursorTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)] // the reader of a stream, as channels have it
    public async Task The_stream_is_usable_after_a_cancelled_read(bool stream)
    {
        var pipe = new Pipe();
        var cursor = new StreamCursor(stream ? PipeReader.Create(pipe.Reader.AsStream()) : pipe.Reader, "main");
        await pipe.Writer.WriteAsync(new byte[] { 1, 2 }, Token);
        Assert.True(await cursor.FillAsync(2, Token));
        cursor.Advance(1);
        using var cancel = new CancellationTokenSource();
        var reading = cursor.FillAsync(3, cancel.Token).AsTask();
        Assert.False(reading.IsCompleted);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.WaitAsync(s_patience, Token));
        Assert.True(await cursor.FillAsync(1, Token).AsTask().WaitAsync(s_patience, Token)); // what had come is still here
        Assert.Equal(1, cursor.Position);
        Assert.Equal(2, cursor.PeekByte());
        await pipe.Writer.WriteAsync(new byte[] { 3, 4 }, Token);
        Assert.True(await cursor.FillAsync(3, Token).AsTask().WaitAsync(s_patience, Token));
        Assert.Equal([2, 3, 4], cursor.Peek(3).ToArray());
    }

    [Fact]
    public async Task A_read_that_is_cancelled_beforehand_takes_nothing()
    {
        var pipe = new Pipe();
        var cursor = new StreamCursor(pipe.Reader, "main");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cursor.FillAsync(1, new CancellationToken(canceled: true)).AsTask());
        await pipe.Writer.WriteAsync(new byte[] { 1 }, Token);
        Assert.True(await cursor.FillAsync(1, Token).AsTask().WaitAsync(s_patience, Token));
        Assert.Equal(1, cursor.PeekByte());
    }
}
