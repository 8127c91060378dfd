using System.IO.Pipelines;
using DataPlane.MainStream;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.MainStream;

public sealed class StreamCursorTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)] // the reader of a stream
    public async Task The_stream_is_usable_after_a_cancelled_read(bool stream)
    {
        var pipe = new Pipe();
        var cursor = new StreamCursor(stream ? PipeReader.Create(pipe.Reader.AsStream()) : pipe.Reader, ChannelId.Main);
        await UseAfterCancelAsync(cursor, bytes => pipe.Writer.WriteAsync(bytes, Token).AsTask());
    }

    [Fact]
    public async Task A_channel_is_usable_after_a_cancelled_read()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var cursor = new StreamCursor(pair.Channel.OpenReader(cancellable: true), ChannelId.Main);
        await UseAfterCancelAsync(cursor, bytes =>
        {
            pair.Peer.Send(bytes);
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task A_read_that_is_cancelled_beforehand_takes_nothing()
    {
        var pipe = new Pipe();
        var cursor = new StreamCursor(pipe.Reader, ChannelId.Main) { Cancellation = new CancellationToken(canceled: true) };
        Assert.ThrowsAny<OperationCanceledException>(() => cursor.TryFill(1));
        cursor.Cancellation = Token;
        await pipe.Writer.WriteAsync(new byte[] { 1 }, Token);
        Assert.True(cursor.TryFill(1));
        Assert.Equal(1, cursor.PeekByte());
    }

    [Fact]
    public async Task What_one_cursor_leaves_the_next_one_reads()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        pair.Peer.Send(1, 2, 3).Finish();
        var first = new StreamCursor(pair.Channel.OpenReader(), ChannelId.Main);
        Assert.True(first.TryFill(3));
        first.Advance(1);
        first.LeaveRest();

        var second = new StreamCursor(pair.Channel.OpenReader(doing: "reading pages"), ChannelId.Main, StreamPlace.AfterSwitch);

        Assert.True(second.TryFill(2));
        Assert.Equal([2, 3], second.Peek(2).ToArray());
        second.Advance(2);
        var failure = Assert.Throws<ChannelException>(() => second.Fill(1, "a page"));
        Assert.Equal("the stream ended inside a page, 2 bytes after the switch", failure.Message);
    }

    private static async Task UseAfterCancelAsync(StreamCursor cursor, Func<byte[], Task> writeAsync)
    {
        await writeAsync([1, 2]);
        Assert.True(await FillAsync(2));
        cursor.Advance(1);
        using var cancel = new CancellationTokenSource();
        cursor.Cancellation = cancel.Token;
        var reading = FillAsync(3);
        await Task.Delay(50, Token); // so that it waits, as a rule
        Assert.False(reading.IsCompleted);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.WaitAsync(s_patience, Token));
        cursor.Cancellation = Token;
        Assert.True(await FillAsync(1)); // what had come is still here
        Assert.Equal(1, cursor.Position);
        Assert.Equal(2, cursor.PeekByte());
        await writeAsync([3, 4]);
        Assert.True(await FillAsync(3));
        Assert.Equal([2, 3, 4], cursor.Peek(3).ToArray());

        Task<bool> FillAsync(int count) => Task.Run(() => cursor.TryFill(count), CancellationToken.None).WaitAsync(s_patience, Token);
    }
}
