using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// Head of a return path message: <c>u16 type | u16 length</c> (specification, 2-main-stream section 4). The length is checked against the
/// type.
/// </summary>
internal readonly struct ReturnPathHeader
{
    public const int Size = 4;

    private const int RequestLength = sizeof(ulong) + sizeof(uint);

    private ReturnPathHeader(ReturnPathType type, int length)
    {
        Type = type;
        Length = length;
    }

    public ReturnPathType Type { get; }

    public int Length { get; }

    public static void Write(Span<byte> destination, ReturnPathType type, int length)
    {
        BinaryPrimitives.WriteUInt16BigEndian(destination, (ushort)type);
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], checked((ushort)length));
    }

    /// <summary>
    /// Whether this begins a message of a kind that later versions of QEMU may have, within the limits of all kinds. A reader that acts on
    /// no message can skip its <paramref name="length"/> bytes.
    /// </summary>
    public static bool IsOfUnknownKind(ReadOnlySpan<byte> source, out int length)
    {
        length = 0;
        if (source.Length < Size || BinaryPrimitives.ReadUInt16BigEndian(source) <= (ushort)ReturnPathType.VmStarted)
        {
            return false;
        }

        length = BinaryPrimitives.ReadUInt16BigEndian(source[2..]);
        return length <= WireLimits.MaxReturnPathMessageBytes;
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out ReturnPathHeader header, out string? error)
    {
        header = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"a return path message begins with {Size} bytes, not {source.Length}";
            return false;
        }

        var type = (ReturnPathType)BinaryPrimitives.ReadUInt16BigEndian(source);
        int length = BinaryPrimitives.ReadUInt16BigEndian(source[2..]);
        if (!Enum.IsDefined(type))
        {
            error = $"unknown return path message {(ushort)type} with {length} bytes";
        }
        else if (length > WireLimits.MaxReturnPathMessageBytes)
        {
            error = $"return path message {type} has {length} bytes, allowed are {WireLimits.MaxReturnPathMessageBytes}";
        }
        else if (!IsLengthOf(type, length))
        {
            error = $"return path message {type} cannot have {length} bytes";
        }
        else
        {
            header = new ReturnPathHeader(type, length);
        }

        return error is null;
    }

    private static bool IsLengthOf(ReturnPathType type, int length) => type switch
    {
        ReturnPathType.Shut or ReturnPathType.Pong or ReturnPathType.ResumeAck => length == sizeof(uint),
        ReturnPathType.RequestPages => length == RequestLength,
        ReturnPathType.RequestPagesWithName => length is >= RequestLength + 2 and <= RequestLength + 1 + WireLimits.MaxNameLength,
        ReturnPathType.VmStarted => true,
        ReturnPathType.ReceivedBitmap => length is >= 2 and <= 1 + WireLimits.MaxNameLength,
        _ => length == 0,
    };
}

/// <summary>Messages from destination to source on the main channel's other direction (specification, 2-main-stream section 4).</summary>
internal enum ReturnPathType : ushort
{
    Shut = 1,
    Pong = 2,
    RequestPagesWithName = 3,
    RequestPages = 4,
    ReceivedBitmap = 5,
    ResumeAck = 6,
    SwitchoverAck = 7,

    /// <summary>
    /// The guest runs at the destination. The message is proposed for QEMU and sent by no version up to 11.1. It does not change who has
    /// the guest, and its contents, if it has any, are ignored.
    /// </summary>
    VmStarted = 8,
}
