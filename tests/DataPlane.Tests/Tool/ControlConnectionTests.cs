using System.Buffers.Binary;
using System.Text;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class ControlConnectionTests
{
    private static readonly ControlMessage[] s_messages =
    [
        new HelloMessage { Version = 1, DataplaneVersion = "0.1.0" },
        new WelcomeMessage { Version = 1, DataplaneVersion = "0.1.0", Host = HostFacts.Current, MaxRamBytes = 1L << 40 },
        new PrepareMessage { Leg = "wire-cursor", RamBytes = 1L << 30, Channels = 4 },
        new ReadyMessage { Port = 65535 },
        new ResultMessage { Seconds = 0.25, CpuSeconds = 0.5, Bytes = 123, NormalPages = 1, ZeroPages = 2 },
        new ResultMessage { Error = "broken" },
        new DigestMessage(),
        new DigestResultMessage { Algorithm = "x", Value = "00" },
        new ErrorMessage { Code = ErrorMessage.Busy, Message = "later" },
    ];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static ControlConnection Over(byte[] bytes) => new(new MemoryStream(bytes), "peer", TimeProvider.System);

    private static byte[] Frame(string json) => Frame(Encoding.UTF8.GetBytes(json));

    private static byte[] Frame(byte[] body)
    {
        var frame = new byte[4 + body.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, body.Length);
        body.CopyTo(frame, 4);
        return frame;
    }

    private static async Task<byte[]> WrittenAsync(ControlMessage message)
    {
        var stream = new MemoryStream();
        await new ControlConnection(stream, "peer", TimeProvider.System).WriteAsync(message, Token);
        return stream.ToArray();
    }

    [Fact]
    public async Task Every_message_survives_the_way_and_the_end_between_messages_is_clean()
    {
        var stream = new MemoryStream();
        await using var connection = new ControlConnection(stream, "peer", TimeProvider.System);
        foreach (var message in s_messages)
        {
            await connection.WriteAsync(message, Token);
        }

        stream.Position = 0;
        foreach (var message in s_messages)
        {
            Assert.Equal(message, await connection.ReadAsync(null, Token));
        }

        Assert.Null(await connection.ReadAsync(null, Token));
    }

    [Fact]
    public async Task A_message_truncated_at_any_byte_is_an_error_and_never_a_clean_end()
    {
        foreach (var message in s_messages)
        {
            var whole = await WrittenAsync(message);
            for (var length = 1; length < whole.Length; length++)
            {
                await Assert.ThrowsAsync<ControlException>(() => Over(whole[..length]).ReadAsync(null, Token));
            }
        }
    }

    [Theory]
    [InlineData(0u)]
    [InlineData((uint)ControlConnection.MaxMessageBytes + 1)]
    [InlineData(uint.MaxValue)]
    public async Task A_length_out_of_bounds_is_refused_before_the_body_is_read(uint length)
    {
        var prefix = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(prefix, length);
        var exception = await Assert.ThrowsAsync<ControlException>(() => Over(prefix).ReadAsync(null, Token));
        Assert.Contains($"{length} bytes", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_message_of_exactly_the_limit_is_read_and_one_byte_more_is_not_written()
    {
        var empty = await WrittenAsync(new DigestResultMessage { Algorithm = "x", Value = "" });
        var room = ControlConnection.MaxMessageBytes - (empty.Length - 4);
        var full = await WrittenAsync(new DigestResultMessage { Algorithm = "x", Value = new string('a', room) });
        Assert.Equal(4 + ControlConnection.MaxMessageBytes, full.Length);
        Assert.IsType<DigestResultMessage>(await Over(full).ReadAsync(null, Token));
        await Assert.ThrowsAsync<ControlException>(
            () => WrittenAsync(new DigestResultMessage { Algorithm = "x", Value = new string('a', room + 1) }));
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("42")]
    [InlineData("{\"type\":\"reboot\"}")]
    [InlineData("{\"type\":\"hello\"}")]
    [InlineData("{\"type\":\"prepare\",\"leg\":\"x\",\"ram_bytes\":1e400,\"channels\":1}")]
    [InlineData("{\"type\":\"prepare\",\"leg\":\"x\",\"ram_bytes\":\"1\",\"channels\":1}")]
    [InlineData("{\"type\":\"digest\",\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}")]
    [InlineData("GET / HTTP/1.1")]
    public async Task What_is_not_a_message_is_refused(string json) =>
        await Assert.ThrowsAsync<ControlException>(() => Over(Frame(json)).ReadAsync(null, Token));

    [Fact]
    public async Task Bytes_that_are_no_text_are_refused_without_reaching_the_message_raw()
    {
        var exception = await Assert.ThrowsAsync<ControlException>(
            () => Over(Frame([0x1B, 0x5B, 0xFF, 0xFE, 0x0A])).ReadAsync(null, Token));
        Assert.DoesNotContain(exception.Message, char.IsControl);
    }

    [Fact]
    public async Task Keys_of_a_newer_version_are_ignored() =>
        Assert.Equal(new DigestMessage(), await Over(Frame("{\"type\":\"digest\",\"new_key\":1}")).ReadAsync(null, Token));

    [Fact]
    public async Task A_peer_that_says_nothing_is_given_up_after_the_idle_timeout()
    {
        var time = new FakeTimeProvider();
        await using var connection = new ControlConnection(new SilentStream([]), "peer", time);
        var read = connection.ReadAsync(TimeSpan.FromSeconds(30), Token);
        time.Advance(TimeSpan.FromSeconds(29));
        Assert.False(read.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<ControlException>(() => read);
    }

    [Fact]
    public async Task A_message_that_begins_and_stalls_is_given_up_even_without_an_idle_timeout()
    {
        var time = new FakeTimeProvider();
        await using var connection = new ControlConnection(new SilentStream([0, 0]), "peer", time);
        var read = connection.ReadAsync(null, Token);
        time.Advance(ControlConnection.MessageTimeout);
        var exception = await Assert.ThrowsAsync<ControlException>(() => read);
        Assert.Contains("unfinished", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancelling_a_read_is_a_cancellation_and_no_protocol_error()
    {
        using var stop = new CancellationTokenSource();
        await using var connection = new ControlConnection(new SilentStream([]), "peer", TimeProvider.System);
        var read = connection.ReadAsync(TimeSpan.FromHours(1), stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read);
    }

    /// <summary>Delivers a few bytes, then nothing, without ending.</summary>
    private sealed class SilentStream(byte[] first) : MemoryStream
    {
        private int _sent;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = Math.Min(buffer.Length, first.Length - _sent);
            first.AsMemory(_sent, count).CopyTo(buffer);
            _sent += count;
            if (count == 0)
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }

            return count;
        }
    }
}
