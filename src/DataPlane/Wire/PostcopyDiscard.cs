using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>A range of bytes of a RAM block, in whole pages.</summary>
internal readonly record struct ByteRange(long Start, long Length);

/// <summary>
/// Payload of POSTCOPY_RAM_DISCARD: pages of one block that the destination must give up, because they are stale or never came
/// (specification, 4-postcopy section 4.1.6).
/// <code>
/// u8 version (0) | u8 n, block name | u8 0 | k times: u64 start, u64 length     k >= 1, in bytes of the block
/// </code>
/// </summary>
internal readonly ref struct PostcopyDiscard
{
    /// <summary>The most ranges that QEMU puts into one command; a receiver takes as many as fit the length of the command.</summary>
    public const int RangesPerCommand = 12;

    /// <summary>The size of the longest payload with <see cref="RangesPerCommand"/> ranges.</summary>
    public const int MaxSize = 3 + WireLimits.MaxNameLength + RangesPerCommand * RangeSize;

    /// <summary>
    /// A PING of ours before DISCARDs that are sent ahead: the guest still runs, and stops when the next PING has been answered. Any
    /// destination answers it like every PING.
    /// </summary>
    public const uint AheadPing = 0x41484544;

    private const int RangeSize = 16;

    private readonly ReadOnlySpan<byte> _ranges;

    private PostcopyDiscard(ReadOnlySpan<byte> blockName, ReadOnlySpan<byte> ranges)
    {
        BlockName = blockName;
        _ranges = ranges;
    }

    /// <summary>A slice of the parsed bytes.</summary>
    public ReadOnlySpan<byte> BlockName { get; }

    public int RangeCount => _ranges.Length / RangeSize;

    /// <summary>A range of whole target pages, at least one. <see cref="TryCheckRanges"/> checks whether it lies in the block.</summary>
    public ByteRange this[int index] => RangeAt(_ranges, index);

    /// <summary>Reads a whole payload, whose length the header of the command has given.</summary>
    public static bool TryRead(ReadOnlySpan<byte> payload, out PostcopyDiscard discard, out string? error)
    {
        discard = default;
        error = null;
        var reader = new WireReader(payload);
        ReadOnlySpan<byte> name = default;
        byte terminator = 0;
        if (!reader.TryRead(out byte version) || !reader.TryReadName(out name) || !reader.TryRead(out terminator))
        {
            error = $"POSTCOPY_RAM_DISCARD of {payload.Length} bytes ends inside its block name";
        }
        else if (version != 0)
        {
            error = $"POSTCOPY_RAM_DISCARD has version {version}, known is 0";
        }
        else if (name.IsEmpty || terminator != 0)
        {
            error = "POSTCOPY_RAM_DISCARD has no terminated block name";
        }
        else if (reader.Remaining == 0 || reader.Remaining % RangeSize != 0)
        {
            error = $"POSTCOPY_RAM_DISCARD has {reader.Remaining} bytes of ranges, which take {RangeSize} each";
        }
        else
        {
            error = CheckPages(payload[reader.Position..]);
        }

        if (error is null)
        {
            discard = new PostcopyDiscard(name, payload[reader.Position..]);
        }

        return error is null;
    }

    /// <summary>Checks every range against its block.</summary>
    /// <param name="blockLength">Used length of the block in bytes.</param>
    /// <param name="pageSize">Host page size of the block.</param>
    /// <param name="error">What is wrong.</param>
    public bool TryCheckRanges(long blockLength, long pageSize, out string? error)
    {
        error = null;
        for (var i = 0; i < RangeCount && error is null; i++)
        {
            (var start, var length) = this[i];
            if (start > blockLength || length > blockLength - start)
            {
                error = $"POSTCOPY_RAM_DISCARD of {length:X} bytes at {start:X} leaves the block of {blockLength:X}";
            }
            else if (start % pageSize != 0 || length % pageSize != 0)
            {
                error = $"POSTCOPY_RAM_DISCARD of {length:X} bytes at {start:X} splits pages of {pageSize:X}";
            }
        }

        return error is null;
    }

    /// <summary>Writes a payload and returns its size.</summary>
    public static int Write(Span<byte> destination, ReadOnlySpan<byte> blockName, ReadOnlySpan<ByteRange> ranges)
    {
        ArgumentOutOfRangeException.ThrowIfZero(ranges.Length);
        var writer = new WireWriter(destination);
        writer.Write((byte)0);
        writer.WriteName(blockName);
        writer.Write((byte)0);
        foreach (var range in ranges)
        {
            writer.Write((ulong)range.Start);
            writer.Write((ulong)range.Length);
        }

        return writer.Written;
    }

    private static string? CheckPages(ReadOnlySpan<byte> ranges)
    {
        for (var i = 0; i < ranges.Length / RangeSize; i++)
        {
            (var start, var length) = RangeAt(ranges, i);
            if (start < 0 || length <= 0 || start > long.MaxValue - length || ((start | length) & WireLimits.PageOffsetMask) != 0)
            {
                return $"POSTCOPY_RAM_DISCARD of {length:X} bytes at {start:X} is not a number of pages";
            }
        }

        return null;
    }

    private static ByteRange RangeAt(ReadOnlySpan<byte> ranges, int index) => new(
        BinaryPrimitives.ReadInt64BigEndian(ranges[(index * RangeSize)..]),
        BinaryPrimitives.ReadInt64BigEndian(ranges[(index * RangeSize + sizeof(ulong))..]));
}
