using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>Writes whole return path messages, as the destination sends them. Each method returns the number of bytes written.</summary>
internal static class ReturnPathWriter
{
    /// <summary>The size of the longest message.</summary>
    public const int MaxSize = ReturnPathHeader.Size + 8 + 4 + 1 + WireLimits.MaxNameLength;

    /// <summary>Writes SHUT: the value 0 is the commit, and any other hands the guest back.</summary>
    public static int WriteShut(Span<byte> destination, uint value) => WriteValue(destination, ReturnPathType.Shut, value);

    public static int WritePong(Span<byte> destination, uint value) => WriteValue(destination, ReturnPathType.Pong, value);

    public static int WriteResumeAck(Span<byte> destination) => WriteValue(destination, ReturnPathType.ResumeAck, 1);

    /// <summary>Writes SWITCHOVER_ACK, on which a source of QEMU 7.2 fails.</summary>
    public static int WriteSwitchoverAck(Span<byte> destination)
    {
        ReturnPathHeader.Write(destination, ReturnPathType.SwitchoverAck, 0);
        return ReturnPathHeader.Size;
    }

    /// <summary>Asks for pages of the block that this connection named last.</summary>
    public static int WriteRequestPages(Span<byte> destination, long start, uint length)
    {
        ReturnPathHeader.Write(destination, ReturnPathType.RequestPages, sizeof(ulong) + sizeof(uint));
        var writer = new WireWriter(destination[ReturnPathHeader.Size..]);
        writer.Write((ulong)start);
        writer.Write(length);
        return ReturnPathHeader.Size + writer.Written;
    }

    /// <summary>Asks for pages of the named block.</summary>
    public static int WriteRequestPages(Span<byte> destination, ReadOnlySpan<byte> blockName, long start, uint length)
    {
        var writer = new WireWriter(destination[ReturnPathHeader.Size..]);
        writer.Write((ulong)start);
        writer.Write(length);
        writer.WriteName(blockName);
        ReturnPathHeader.Write(destination, ReturnPathType.RequestPagesWithName, writer.Written);
        return ReturnPathHeader.Size + writer.Written;
    }

    /// <summary>Answers the source's RECV_BITMAP for a block; the <see cref="ReceivedBitmapBody"/> follows.</summary>
    public static int WriteReceivedBitmap(Span<byte> destination, ReadOnlySpan<byte> blockName)
    {
        var writer = new WireWriter(destination[ReturnPathHeader.Size..]);
        writer.WriteName(blockName);
        ReturnPathHeader.Write(destination, ReturnPathType.ReceivedBitmap, writer.Written);
        return ReturnPathHeader.Size + writer.Written;
    }

    private static int WriteValue(Span<byte> destination, ReturnPathType type, uint value)
    {
        ReturnPathHeader.Write(destination, type, sizeof(uint));
        BinaryPrimitives.WriteUInt32BigEndian(destination[ReturnPathHeader.Size..], value);
        return ReturnPathHeader.Size + sizeof(uint);
    }
}
