using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// A command in the main stream: <c>08 | u16 command | u16 length</c>, then its payload (specification, 2-main-stream section 3). The
/// length is checked against the command, so whoever reads the payload can rely on its size.
/// </summary>
internal readonly struct CommandHeader
{
    public const int Size = 5;

    /// <summary>The length of the shortest discard: a version, a name of one byte, its terminator and one range.</summary>
    private const int MinDiscardLength = 1 + 2 + 1 + 16;

    private CommandHeader(CommandType type, int length)
    {
        Type = type;
        Length = length;
    }

    public CommandType Type { get; }

    /// <summary>Bytes of payload that follow the header. The package of PACKAGED comes after them and is not counted.</summary>
    public int Length { get; }

    public static void Write(Span<byte> destination, CommandType type, int length)
    {
        destination[0] = (byte)SectionType.Command;
        BinaryPrimitives.WriteUInt16BigEndian(destination[1..], (ushort)type);
        BinaryPrimitives.WriteUInt16BigEndian(destination[3..], checked((ushort)length));
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out CommandHeader header, out string? error)
    {
        header = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"a command has {Size} bytes, not {source.Length}";
            return false;
        }

        var type = (CommandType)BinaryPrimitives.ReadUInt16BigEndian(source[1..]);
        int length = BinaryPrimitives.ReadUInt16BigEndian(source[3..]);
        if (source[0] != (byte)SectionType.Command)
        {
            error = $"byte {source[0]:X2} instead of a command (08)";
        }
        else if (type == CommandType.EnableColo)
        {
            error = "COLO is not supported";
        }
        else if (!Enum.IsDefined(type))
        {
            error = $"unknown command {(ushort)type} with {length} bytes";
        }
        else if (!IsLengthOf(type, length))
        {
            error = $"command {type} cannot have {length} bytes";
        }
        else
        {
            header = new CommandHeader(type, length);
        }

        return error is null;
    }

    /// <summary>Whether a whole header is the command that begins COLO, which <see cref="TryRead"/> always refuses.</summary>
    public static bool IsColo(ReadOnlySpan<byte> source) =>
        source[0] == (byte)SectionType.Command && (CommandType)BinaryPrimitives.ReadUInt16BigEndian(source[1..]) == CommandType.EnableColo;

    private static bool IsLengthOf(CommandType type, int length) => type switch
    {
        CommandType.Ping or CommandType.Packaged => length == sizeof(uint),
        CommandType.PostcopyAdvise => length is 0 or PostcopyAdvise.Size,
        CommandType.PostcopyRamDiscard => length >= MinDiscardLength,
        CommandType.ReceivedBitmap => length is >= 2 and <= 1 + WireLimits.MaxNameLength,
        _ => length == 0,
    };
}

/// <summary>Commands from source to destination inside the main stream (specification, 2-main-stream section 3).</summary>
internal enum CommandType : ushort
{
    OpenReturnPath = 1,
    Ping = 2,
    PostcopyAdvise = 3,
    PostcopyListen = 4,
    PostcopyRun = 5,
    PostcopyRamDiscard = 6,
    Packaged = 7,
    EnableColo = 8,
    PostcopyResume = 9,
    ReceivedBitmap = 10,
    SwitchoverStart = 11,
}
