using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>Whole commands that precopy sends. Each method returns the bytes written.</summary>
internal static class CommandWriter
{
    /// <summary>Room for any of them.</summary>
    public const int MaxSize = CommandHeader.Size + PostcopyAdvise.Size;

    public static int WriteOpenReturnPath(Span<byte> destination) => WriteBare(destination, CommandType.OpenReturnPath);

    /// <summary>Only towards machine types of 10.0 and later: QEMU 7.2 to 9.2 fail on it.</summary>
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

    private static int WriteBare(Span<byte> destination, CommandType type)
    {
        CommandHeader.Write(destination, type, 0);
        return CommandHeader.Size;
    }
}
