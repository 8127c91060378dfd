using System.Buffers;

namespace DataPlane.Wire;

/// <summary>
/// One message of the return path, as the source reads it (specification, 2-main-stream section 4).
/// <code>
/// SHUT, PONG, RESUME_ACK   u32 value
/// REQ_PAGES                u64 start | u32 length
/// REQ_PAGES_ID             u64 start | u32 length | u8 n, block name
/// RECV_BITMAP              u8 n, block name; the bitmap follows the message
/// SWITCHOVER_ACK           nothing
/// VM_STARTED               anything; skipped
/// </code>
/// </summary>
internal readonly ref struct ReturnPathMessage
{
    public ReturnPathType Type { get; private init; }

    /// <summary>Value of SHUT (0 = success), PONG or RESUME_ACK.</summary>
    public uint Value { get; private init; }

    /// <summary>First byte asked for, relative to the block.</summary>
    public long Start { get; private init; }

    /// <summary>Bytes asked for.</summary>
    public uint Length { get; private init; }

    /// <summary>A slice of the parsed bytes; empty where the message has no name.</summary>
    public ReadOnlySpan<byte> BlockName { get; private init; }

    public static OperationStatus Parse(ReadOnlySpan<byte> source, out ReturnPathMessage message, out int consumed, out string? error)
    {
        message = default;
        consumed = 0;
        error = null;
        if (source.Length < ReturnPathHeader.Size)
        {
            return OperationStatus.NeedMoreData;
        }

        if (!ReturnPathHeader.TryRead(source, out var header, out error))
        {
            return OperationStatus.InvalidData;
        }

        if (source.Length - ReturnPathHeader.Size < header.Length)
        {
            return OperationStatus.NeedMoreData;
        }

        // The message is here as a whole, so a field that does not fit is wrong and not late.
        var reader = new WireReader(source.Slice(ReturnPathHeader.Size, header.Length));
        uint value = 0, length = 0;
        ulong start = 0;
        ReadOnlySpan<byte> name = default;
        var complete = header.Type switch
        {
            ReturnPathType.Shut or ReturnPathType.Pong or ReturnPathType.ResumeAck => reader.TryRead(out value),
            ReturnPathType.RequestPages => reader.TryRead(out start) && reader.TryRead(out length),
            ReturnPathType.RequestPagesWithName => reader.TryRead(out start) && reader.TryRead(out length) && reader.TryReadName(out name),
            ReturnPathType.ReceivedBitmap => reader.TryReadName(out name),
            ReturnPathType.VmStarted => reader.TryReadBytes(header.Length, out _),
            _ => true,
        };
        if (!complete || reader.Remaining != 0)
        {
            error = $"return path message {header.Type} of {header.Length} bytes names a block of another length";
        }
        else if ((long)start < 0)
        {
            error = $"return path message {header.Type} asks for bytes at {start:X}";
        }

        if (error is not null)
        {
            return OperationStatus.InvalidData;
        }

        message = new ReturnPathMessage { Type = header.Type, Value = value, Start = (long)start, Length = length, BlockName = name };
        consumed = ReturnPathHeader.Size + header.Length;
        return OperationStatus.Done;
    }

    /// <summary>Checks a request for pages against the block that it names. Length 0 asks for nothing and is legal.</summary>
    /// <param name="blockLength">Used length of the block in bytes.</param>
    /// <param name="error">What is wrong.</param>
    public bool TryCheckRange(long blockLength, out string? error)
    {
        error = null;
        if (((Start | Length) & WireLimits.PageOffsetMask) != 0)
        {
            error = $"a request for {Length:X} bytes at {Start:X}, which is not a number of pages";
        }
        else if (Start > blockLength || Length > blockLength - Start)
        {
            error = $"a request for {Length:X} bytes at {Start:X} of a block of {blockLength:X}";
        }

        return error is null;
    }
}
