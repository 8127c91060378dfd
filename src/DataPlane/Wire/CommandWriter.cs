using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>Writes whole commands, as the source sends them. Each method returns the number of bytes written.</summary>
internal static class CommandWriter
{
    /// <summary>The size of the longest command.</summary>
    public const int MaxSize = CommandHeader.Size + PostcopyDiscard.MaxSize;

    public static int WriteOpenReturnPath(Span<byte> destination) => WriteBare(destination, CommandType.OpenReturnPath);

    /// <summary>Writes SWITCHOVER_START. Send it only towards machine types of 10.0 and later: QEMU 7.2 to 9.2 fail on it.</summary>
    public static int WriteSwitchoverStart(Span<byte> destination) => WriteBare(destination, CommandType.SwitchoverStart);

    public static int WritePing(Span<byte> destination, uint value)
    {
        CommandHeader.Write(destination, CommandType.Ping, sizeof(uint));
        BinaryPrimitives.WriteUInt32BigEndian(destination[CommandHeader.Size..], value);
        return CommandHeader.Size + sizeof(uint);
    }

    public static int WritePostcopyAdvise(Span<byte> destination, PostcopyAdvise advise)
    {
        CommandHeader.Write(destination, CommandType.PostcopyAdvise, PostcopyAdvise.Size);
        advise.Write(destination[CommandHeader.Size..]);
        return CommandHeader.Size + PostcopyAdvise.Size;
    }

    /// <summary>Writes POSTCOPY_LISTEN, which is the first command of the package.</summary>
    public static int WriteListen(Span<byte> destination) => WriteBare(destination, CommandType.PostcopyListen);

    /// <summary>Writes POSTCOPY_RUN, which is the last command of the package.</summary>
    public static int WriteRun(Span<byte> destination) => WriteBare(destination, CommandType.PostcopyRun);

    /// <summary>Writes POSTCOPY_RAM_DISCARD with at most <see cref="PostcopyDiscard.RangesPerCommand"/> ranges.</summary>
    public static int WriteDiscard(Span<byte> destination, ReadOnlySpan<byte> blockName, ReadOnlySpan<ByteRange> ranges)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ranges.Length, PostcopyDiscard.RangesPerCommand);
        var length = PostcopyDiscard.Write(destination[CommandHeader.Size..], blockName, ranges);
        CommandHeader.Write(destination, CommandType.PostcopyRamDiscard, length);
        return CommandHeader.Size + length;
    }

    /// <summary>Writes PACKAGED; the package of <paramref name="packageBytes"/> bytes follows the command.</summary>
    public static int WritePackaged(Span<byte> destination, int packageBytes)
    {
        CommandHeader.Write(destination, CommandType.Packaged, sizeof(uint));
        BinaryPrimitives.WriteUInt32BigEndian(destination[CommandHeader.Size..], (uint)packageBytes);
        return CommandHeader.Size + sizeof(uint);
    }

    /// <summary>Writes POSTCOPY_RESUME, with which a postcopy goes on after a lost link, once all received bitmaps are here.</summary>
    public static int WriteResume(Span<byte> destination) => WriteBare(destination, CommandType.PostcopyResume);

    /// <summary>Writes RECV_BITMAP, which asks for the received bitmap of a block after a lost link.</summary>
    public static int WriteReceivedBitmap(Span<byte> destination, ReadOnlySpan<byte> blockName)
    {
        var writer = new WireWriter(destination[CommandHeader.Size..]);
        writer.WriteName(blockName);
        CommandHeader.Write(destination, CommandType.ReceivedBitmap, writer.Written);
        return CommandHeader.Size + writer.Written;
    }

    private static int WriteBare(Span<byte> destination, CommandType type)
    {
        CommandHeader.Write(destination, type, 0);
        return CommandHeader.Size;
    }
}
