using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Sends the destination's messages to the source on the return path, before and after the switch to postcopy (specification,
/// 2-main-stream section 4). A message blocks its thread until the kernel has taken it, which is at once unless the source reads nothing.
/// Thread-safe: messages are sent one at a time.
/// </summary>
internal sealed class ReturnPathSender(MessageOutbox outbox)
{
    public ReturnPathSender(Channel main) : this(new MessageOutbox(main))
    {
    }

    private delegate int MessageWriter(Span<byte> destination, uint value);

    /// <summary>Sends PONG <paramref name="value"/>, which answers the PING with this value.</summary>
    /// <param name="value">The value of the PING.</param>
    /// <param name="doing">What is being done, for the message of a failure; null if it goes without saying.</param>
    /// <param name="cancellationToken">
    /// Ends the wait, and with it the channel: nobody knows how much of the message has left.
    /// </param>
    /// <exception cref="ChannelException">The link is lost.</exception>
    public void SendPong(uint value, string? doing = null, CancellationToken cancellationToken = default) =>
        Send(ReturnPathWriter.WritePong, value, doing, cancellationToken);

    /// <summary>Sends SHUT, the last message of the destination: 0 for success, which is the commit, otherwise 1.</summary>
    /// <exception cref="ChannelException">The link is lost.</exception>
    public void SendShut(bool success, string? doing = null, CancellationToken cancellationToken = default) =>
        Send(ReturnPathWriter.WriteShut, success ? 0u : 1u, doing, cancellationToken);

    /// <summary>Sends SHUT without blocking the calling thread.</summary>
    /// <exception cref="ChannelException">The link is lost.</exception>
    public Task SendShutAsync(bool success, CancellationToken cancellationToken) =>
        Task.Run(() => SendShut(success, doing: null, cancellationToken), CancellationToken.None);

    /// <summary>
    /// Sends the acknowledgement for which a source with capability switchover-ack waits before its switchover, without blocking the
    /// calling thread.
    /// </summary>
    /// <exception cref="ChannelException">The link is lost.</exception>
    public Task SendSwitchoverAckAsync(CancellationToken cancellationToken) => Task.Run(
        () => Send(static (span, _) => ReturnPathWriter.WriteSwitchoverAck(span), 0, doing: null, cancellationToken),
        CancellationToken.None);

    /// <summary>Sends RESUME_ACK, after which a source that has recovered its link goes on.</summary>
    /// <exception cref="ChannelException">The link is lost.</exception>
    public void SendResumeAck(string doing) =>
        Send(static (span, _) => ReturnPathWriter.WriteResumeAck(span), 0, doing, CancellationToken.None);

    /// <summary>
    /// Adds a request for the pages of a block. It leaves with the next message, or with <see cref="TrySendAll"/>. Returns false if the
    /// channel has failed; the request is not kept then.
    /// </summary>
    /// <param name="blockName">The block; empty for the one that was named last.</param>
    /// <param name="start">The offset of the first page, in bytes.</param>
    /// <param name="length">The number of bytes.</param>
    public bool TryAddRequest(ReadOnlySpan<byte> blockName, long start, uint length)
    {
        Span<byte> message = stackalloc byte[ReturnPathWriter.MaxSize];
        var size = blockName.IsEmpty
            ? ReturnPathWriter.WriteRequestPages(message, start, length)
            : ReturnPathWriter.WriteRequestPages(message, blockName, start, length);
        return outbox.TryAdd(message[..size], out _);
    }

    /// <summary>
    /// Sends all requests, unless another thread is sending: then that thread sends them. Does not report failures, because the readers of
    /// the channel find them.
    /// </summary>
    public void TrySendAll() => outbox.TrySendAll();

    private void Send(MessageWriter write, uint value, string? doing, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Span<byte> message = stackalloc byte[ReturnPathWriter.MaxSize];
        outbox.TryAdd(message[..write(message, value)], out var end);
        using var cancelled = cancellationToken.UnsafeRegister(static outbox => ((MessageOutbox)outbox!).Abort(), outbox);
        try
        {
            outbox.SendUpTo(end, doing);
        }
        catch (ChannelException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
    }
}
