using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>Whole return path messages, as the destination sends them. Each method returns the bytes written.</summary>
internal static class ReturnPathWriter
{
    /// <summary>Room for any of them.</summary>
    public const int MaxSize = ReturnPathHeader.Size + 8 + 4 + 1 + WireLimits.MaxNameLength;

    /// <summary>0 is the commit; anything else hands the guest back.</summary>
    public static int WriteShut(Span<byte> destination, uint value) => WriteValue(destination, ReturnPathType.Shut, value);

    public static int WritePong(Span<byte> destination, uint value) => WriteValue(destination, ReturnPathType.Pong, value);

    public static int WriteResumeAck(Span<byte> destination) => WriteValue(destination, ReturnPathType.ResumeAck, 1);

    /// <summary>QEMU 7.2 fails on it.</summary>
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

    public static int WriteRequestPages(Span<byte> destination, ReadOnlySpan<byte> blockName, long start, uint length)
    {
        var writer = new WireWriter(destination[ReturnPathHeader.Size..]);
        writer.Write((ulong)start);
        writer.Write(length);
        writer.WriteName(blockName);
        ReturnPathHeader.Write(destination, ReturnPathType.RequestPagesWithName, writer.Written);
        return ReturnPathHeader.Size + writer.Written;
    }

    /// <summary>Answers the source's question for a block's received bitmap; the <see cref="ReceivedBitmapBody"/> follows.</summary>
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
