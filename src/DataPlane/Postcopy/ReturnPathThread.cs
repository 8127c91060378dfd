using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads the return path of a migration that may go on in postcopy, on a thread of its own, so that only the kernel's scheduler is between
/// a request and its page. Every request is checked against its block before anything is done with it (specification, 4-postcopy section
/// 4.2.1).
/// </summary>
/// <remarks>
/// After each message the kernel is told to send an acknowledgement at once. A QEMU destination leaves Nagle's algorithm on, so its next
/// message would wait for the acknowledgement, which is otherwise delayed by 40 ms.
/// </remarks>
/// <param name="main">The main channel.</param>
/// <param name="memory">The memory that the destination may request pages of.</param>
/// <param name="hostPages">The sizes of the destination's host pages.</param>
/// <param name="events">Receives every message.</param>
/// <param name="ifSilent">
/// What it may mean if the return path ends before its first message, for the error message; null if nothing is known.
/// </param>
internal sealed class ReturnPathThread(
    Channel main, GuestMemory memory, HostPages hostPages, IReturnPathEvents events, string? ifSilent = null) : IReturnPathListener
{
    private const string Waiting = "waiting for the destination's next message";

    private RamBlock? _lastBlock;

    /// <summary>
    /// Whether the link replaces one that was lost. The thread of a QEMU destination that requests pages may not have noticed the loss, and
    /// requests on the new link without a name, meaning the block that it named on the old one (seen with 7.2). That name may have been
    /// lost with the link, so a request that does not fit <see cref="BlockOfLostLink"/> is dropped: QEMU requests everything again after
    /// RESUME.
    /// </summary>
    public bool ReplacesLostLink { get; init; }

    /// <summary>The last block that was named on the lost links; null if none was.</summary>
    public RamBlock? BlockOfLostLink { get; init; }

    /// <summary>
    /// The last block that was named on this link, or else on those that were lost before. To be read when the thread has ended.
    /// </summary>
    public RamBlock? LastBlock => _lastBlock ?? BlockOfLostLink;

    /// <summary>
    /// Starts the thread. The task completes with the value of SHUT, or fails with a <see cref="ChannelException"/> if the connection ends
    /// before. The thread has ended then.
    /// </summary>
    public Task<uint> Start() => ReturnPathMessages.ReadToShutAsync(
        new StreamCursor(main.OpenReader(doing: Waiting), main.Id, StreamPlace.Unnamed), this);

    void IReturnPathListener.Take(ReturnPathMessage message, StreamCursor stream)
    {
        SocketSetup.AcknowledgeAtOnce(main.Handle);
        switch (message.Type)
        {
            case ReturnPathType.Pong:
                events.OnPong(message.Value);
                break;
            case ReturnPathType.RequestPages:
            case ReturnPathType.RequestPagesWithName:
                HandleRequest(message);
                break;
            case ReturnPathType.VmStarted:
                events.OnVmStarted();
                break;
            case ReturnPathType.SwitchoverAck:
                break;
            case ReturnPathType.ReceivedBitmap:
                ReadBitmap(message, stream);
                break;
            case ReturnPathType.ResumeAck when events.OnResumeAck(message.Value):
                break;
            default:
                throw ChannelException.Violation(main.Name, $"return path message {message.Type} outside of a recovery");
        }
    }

    ChannelException IReturnPathListener.Closed(bool hasAnswered) =>
        ChannelException.From(new TransferResult(0, ChannelEnd.Closed, 0), main, Waiting);

    ChannelException? IReturnPathListener.Explain(ChannelException failure, bool hasAnswered)
    {
        if (ifSilent is null || hasAnswered || failure.Reason is not (FailureReason.PeerClosed or FailureReason.PeerReset))
        {
            return null;
        }

        var how = failure.Reason == FailureReason.PeerClosed ? "closed the return path" : "broke the return path off";
        return new ChannelException(failure.Reason, main.Name,
            $"the destination {how} without SHUT, before it answered anything: {ifSilent}; its own log says why", failure);
    }

    private void HandleRequest(ReturnPathMessage message)
    {
        var block = LastBlock;
        var isLeftOver = _lastBlock is null && ReplacesLostLink && message.Type == ReturnPathType.RequestPages;
        if (message.Type == ReturnPathType.RequestPagesWithName && !memory.TryGetBlock(message.BlockName, out block))
        {
            throw ChannelException.Violation(main.Name, $"a request for pages of the unknown block {WireName.Quote(message.BlockName)}");
        }

        if (isLeftOver && (block is null || !Fits(message, block)))
        {
            return;
        }

        if (block is null)
        {
            throw ChannelException.Violation(main.Name, "a request for pages before any block was named");
        }

        if (!message.TryCheckRange(block.Length, out var error))
        {
            throw ChannelException.Violation(main.Name, $"{error}, {block.Name}");
        }

        var size = hostPages.SizeOf(block);
        if (message.Start % size != 0 || message.Length % size != 0)
        {
            throw ChannelException.Violation(
                main.Name, $"a request for {message.Length:X} bytes at {message.Start:X} of {block.Name} splits its pages of {size:X}");
        }

        if (!isLeftOver)
        {
            _lastBlock = block;
        }

        if (message.Length > 0)
        {
            events.OnRequest(block, message.Start >> TargetPage.Shift, message.Length >> TargetPage.Shift);
        }
    }

    private bool Fits(ReturnPathMessage message, RamBlock block)
    {
        var size = hostPages.SizeOf(block);
        return message.TryCheckRange(block.Length, out _) && message.Start % size == 0 && message.Length % size == 0;
    }

    /// <summary>Reads the bitmap that follows its message. Its size must be that of the block.</summary>
    private void ReadBitmap(ReturnPathMessage message, StreamCursor stream)
    {
        const string What = "a received bitmap";
        if (!memory.TryGetBlock(message.BlockName, out var block))
        {
            throw ChannelException.Violation(main.Name, $"a received bitmap of the unknown block {WireName.Quote(message.BlockName)}");
        }

        stream.Fill(ReceivedBitmapBody.HeadSize, What);
        if (!ReceivedBitmapBody.TryReadHead(stream.Peek(ReceivedBitmapBody.HeadSize), block.PageCount, out var error))
        {
            throw ChannelException.Malformed(main.Name, $"{error}, {block.Name}");
        }

        stream.Advance(ReceivedBitmapBody.HeadSize);
        var received = new PageBitmap(block.PageCount);
        received.TryFill(bytes =>
        {
            stream.ReadTo(bytes, What);
            return true;
        });
        stream.Fill(ReceivedBitmapBody.EndSize, What);
        if (!ReceivedBitmapBody.TryReadEnd(stream.Peek(ReceivedBitmapBody.EndSize), out error))
        {
            throw ChannelException.Malformed(main.Name, $"{error}, {block.Name}");
        }

        stream.Advance(ReceivedBitmapBody.EndSize);
        if (!events.OnReceivedBitmap(block, received))
        {
            throw ChannelException.Violation(main.Name, $"a received bitmap of {block.Name} that nobody asked for");
        }
    }
}
