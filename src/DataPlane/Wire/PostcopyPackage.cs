using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// What follows PACKAGED: the device state of a guest that starts before its memory is there (specification, 4-postcopy section 4.1.4). The
/// destination reads all of it before it acts.
/// <code>
/// LISTEN | device sections | PING ... | RUN
/// </code>
/// Device sections carry no length, but their ends can be found: LISTEN comes before them, and the last one ends with <c>7E | u32</c>,
/// which no PING does.
/// </summary>
/// <param name="DevicesStart">First byte of the device sections in the package.</param>
/// <param name="DevicesLength">Bytes of the device sections, at least one.</param>
/// <param name="Pings">Values to answer, in order, once the device state is loaded.</param>
internal readonly record struct PostcopyPackage(int DevicesStart, int DevicesLength, IReadOnlyList<uint> Pings)
{
    /// <summary>The PING that is answered when the devices are loaded: the guest starts then and belongs to the destination.</summary>
    public const uint LoadedPing = 0x42;

    /// <summary>
    /// A PING of ours before <see cref="LoadedPing"/>: a preempt channel was opened, and pages that are asked for may be lost with it. Any
    /// destination answers it like every PING.
    /// </summary>
    public const uint PreemptPing = 0x50524D54;

    private const int PingSize = CommandHeader.Size + sizeof(uint);

    /// <summary>The most PINGs that are taken from the end of a package; QEMU sends two.</summary>
    private const int MaxPings = 16;

    public static bool TryRead(ReadOnlySpan<byte> package, out PostcopyPackage contents, out string? error)
    {
        contents = default;
        error = null;
        if (!IsBare(package, CommandType.PostcopyListen))
        {
            error = "the package does not begin with POSTCOPY_LISTEN";
        }
        else if (package.Length < 2 * CommandHeader.Size || !IsBare(package[^CommandHeader.Size..], CommandType.PostcopyRun))
        {
            error = "the package does not end with POSTCOPY_RUN";
        }

        if (error is not null)
        {
            return false;
        }

        var pings = new Stack<uint>();
        var end = package.Length - CommandHeader.Size;
        while (end - PingSize >= CommandHeader.Size && pings.Count < MaxPings && IsPing(package[(end - PingSize)..end], out var value))
        {
            pings.Push(value);
            end -= PingSize;
        }

        var length = end - CommandHeader.Size;
        if (length == 0)
        {
            error = "the package has no device state";
        }
        else if (package[CommandHeader.Size] != (byte)SectionType.Full)
        {
            error = $"byte {package[CommandHeader.Size]:X2} instead of a device section (04) in the package";
        }
        else if (length <= SectionFooter.Size || package[end - SectionFooter.Size] != (byte)SectionType.Footer)
        {
            error = "the package's device state does not end with a section footer";
        }
        else
        {
            contents = new PostcopyPackage(CommandHeader.Size, length, [.. pings]);
        }

        return error is null;
    }

    /// <summary>Bytes of a package as this side writes it, without its device sections.</summary>
    public static int Overhead(bool preempt) => 2 * CommandHeader.Size + (preempt ? 2 : 1) * PingSize;

    /// <summary>Writes what stands before the device sections and returns its size.</summary>
    public static int WriteHead(Span<byte> destination) => CommandWriter.WriteListen(destination);

    /// <summary>Writes what stands after the device sections and returns its size.</summary>
    public static int WriteTail(Span<byte> destination, bool preempt)
    {
        var size = preempt ? CommandWriter.WritePing(destination, PreemptPing) : 0;
        size += CommandWriter.WritePing(destination[size..], LoadedPing);
        return size + CommandWriter.WriteRun(destination[size..]);
    }

    private static bool IsBare(ReadOnlySpan<byte> source, CommandType type) =>
        CommandHeader.TryRead(source, out var header, out _) && header.Type == type;

    private static bool IsPing(ReadOnlySpan<byte> source, out uint value)
    {
        value = BinaryPrimitives.ReadUInt32BigEndian(source[CommandHeader.Size..]);
        return CommandHeader.TryRead(source, out var header, out _) && header.Type == CommandType.Ping;
    }
}
