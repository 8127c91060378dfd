using System.Buffers;
using DataPlane.Linux;
using DataPlane.Memory;
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
/// <param name="pool">Gives the block to read into.</param>
/// <param name="memory">The memory that the destination may request pages of.</param>
/// <param name="hostPages">The sizes of the destination's host pages.</param>
/// <param name="events">Receives every message.</param>
/// <param name="ifSilent">
/// What it may mean if the return path ends before its first message, for the error message; null if nothing is known.
/// </param>
internal sealed class ReturnPathThread(
    Channel main, BlockPool pool, GuestMemory memory, HostPages hostPages, IReturnPathEvents events, string? ifSilent = null)
{
    private readonly TaskCompletionSource<uint> _shut = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RamBlock? _lastBlock;
    private bool _hasAnswered;

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
    /// before.
    /// </summary>
    public Task<uint> Start()
    {
        var thread = new Thread(Run) { Name = "dp-return-path", IsBackground = true };
        thread.Start();
        return _shut.Task;
    }

    private void Run()
    {
        try
        {
            using var block = pool.RentBlock("dp-return-path");
            uint? shut;
            do
            {
                shut = ReadMessage(block);
            }
            while (shut is null);
            _shut.SetResult(shut.Value);
        }
        catch (Exception failure)
        {
            _shut.SetException(failure);
        }
    }

    private uint? ReadMessage(PooledBlock block)
    {
        ReceiveHeader(block);
        if (!ReturnPathHeader.TryRead(block.Span, out var header, out var error))
        {
            throw ChannelException.Malformed(main.Name, error!);
        }

        Receive(block.Address + ReturnPathHeader.Size, header.Length, "reading a return path message");
        SocketSetup.AcknowledgeAtOnce(main.Handle);
        var status = ReturnPathMessage.Parse(block.Span[..(ReturnPathHeader.Size + header.Length)], out var message, out _, out error);
        if (status != OperationStatus.Done)
        {
            throw ChannelException.Malformed(main.Name, error ?? $"return path message {header.Type} is incomplete");
        }

        return header.Type == ReturnPathType.ReceivedBitmap ? ReadBitmap(message, block) : Handle(message);
    }

    private void ReceiveHeader(PooledBlock block)
    {
        try
        {
            Receive(block.Address, ReturnPathHeader.Size, "waiting for the destination's next message");
            _hasAnswered = true;
        }
        catch (ChannelException failure)
            when (ifSilent is not null && !_hasAnswered && failure.Reason is (FailureReason.PeerClosed or FailureReason.PeerReset))
        {
            var how = failure.Reason == FailureReason.PeerClosed ? "closed the return path" : "broke the return path off";
            throw new ChannelException(failure.Reason, main.Name,
                $"the destination {how} without SHUT, before it answered anything: {ifSilent}; its own log says why", failure);
        }
    }

    private uint? Handle(ReturnPathMessage message)
    {
        switch (message.Type)
        {
            case ReturnPathType.Shut:
                return message.Value;
            case ReturnPathType.Pong:
                events.OnPong(message.Value);
                return null;
            case ReturnPathType.RequestPages:
            case ReturnPathType.RequestPagesWithName:
                HandleRequest(message);
                return null;
            case ReturnPathType.VmStarted:
                events.OnVmStarted();
                return null;
            case ReturnPathType.SwitchoverAck:
                return null;
            case ReturnPathType.ResumeAck when events.OnResumeAck(message.Value):
                return null;
            default:
                throw ChannelException.Violation(main.Name, $"return path message {message.Type} outside of a recovery");
        }
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
    private uint? ReadBitmap(ReturnPathMessage message, PooledBlock block)
    {
        const string Doing = "reading a received bitmap";
        if (!memory.TryGetBlock(message.BlockName, out var ram))
        {
            throw ChannelException.Violation(main.Name, $"a received bitmap of the unknown block {WireName.Quote(message.BlockName)}");
        }

        Receive(block.Address, ReceivedBitmapBody.HeadSize, Doing);
        if (!ReceivedBitmapBody.TryReadHead(block.Span, ram.PageCount, out var error))
        {
            throw ChannelException.Malformed(main.Name, $"{error}, {ram.Name}");
        }

        var received = new PageBitmap(ram.PageCount);
        received.TryFill(bytes => ReceiveInto(bytes, Doing));
        Receive(block.Address, ReceivedBitmapBody.EndSize, Doing);
        if (!ReceivedBitmapBody.TryReadEnd(block.Span, out error))
        {
            throw ChannelException.Malformed(main.Name, $"{error}, {ram.Name}");
        }

        if (!events.OnReceivedBitmap(ram, received))
        {
            throw ChannelException.Violation(main.Name, $"a received bitmap of {ram.Name} that nobody asked for");
        }

        return null;
    }

    private unsafe bool ReceiveInto(Span<byte> bytes, string doing)
    {
        // SAFETY: the bytes are fixed until they have been received.
        fixed (byte* first = bytes)
        {
            Receive((nint)first, bytes.Length, doing);
        }

        return true;
    }

    private void Receive(nint address, int length, string doing)
    {
        if (length == 0)
        {
            return;
        }

        Span<IoVec> vectors = [new IoVec(address, (nuint)length)];
        var result = main.Receive(vectors);
        if (!result.Complete)
        {
            throw ChannelException.From(result, main, doing);
        }
    }
}
