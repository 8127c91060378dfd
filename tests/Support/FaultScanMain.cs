using System.Buffers.Binary;

namespace DataPlane.TestSupport;

/// <summary>
/// What a source says: HEADER, CONFIGURATION, OPEN_RP, PING, ADVISE, DISCARD, PACKAGED, RESUME, RECV_BITMAP, SWITCHOVER_START, and of the
/// memory START, PART, END and END_OF_STREAM. The package is one record.
/// </summary>
internal sealed class FaultScanMain : FaultScan
{
    private const int Command = 5;
    private const int SectionId = 5; // with the type
    private const int PageBytes = 4096;

    private static readonly string[] s_commands =
    [
        "0", "OPEN_RP", "PING", "ADVISE", "LISTEN", "RUN", "DISCARD", "PACKAGED", "COLO", "RESUME", "RECV_BITMAP", "SWITCHOVER_START",
    ];

    private bool _isInSection;

    protected override int Next(ReadOnlySpan<byte> bytes) => _isInSection ? RamRecord(bytes) : Element(bytes);

    private int Element(ReadOnlySpan<byte> bytes) => bytes[0] switch
    {
        (byte)'Q' when bytes.Length >= 8 => Told("HEADER", 8),
        0x07 when bytes.Length >= SectionId => Told("CONFIGURATION", SectionId, U32(bytes[1..])),
        0x08 when bytes.Length >= Command => TakeCommand(bytes),
        0x01 => Start(bytes),
        0x02 or 0x03 when bytes.Length >= SectionId => Section(bytes[0] == 0x02 ? "PART" : "END", SectionId),
        0x00 => Told("END_OF_STREAM", 1),
        0x04 or 0x05 or 0x06 => GoBlind(), // devices: their lengths are not on the wire
        (byte)'Q' or 0x07 or 0x08 or 0x02 or 0x03 => 0,
        _ => GoBlind(),
    };

    private int Told(string record, int bytes, long skip = 0)
    {
        Tell(record);
        Skip(skip);
        return bytes;
    }

    private int TakeCommand(ReadOnlySpan<byte> bytes)
    {
        (var command, var length) = (U16(bytes[1..]), U16(bytes[3..]));
        var hasValue = length == sizeof(uint);
        if (hasValue && bytes.Length < Command + length)
        {
            return 0;
        }

        var value = hasValue ? U32(bytes[Command..]) : 0;
        var record = command < s_commands.Length ? s_commands[command] : $"{command}";
        Tell(record, value);
        Skip(record == "PACKAGED" ? length + (long)value : length);
        return Command;
    }

    private int Start(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < SectionId + 1 || bytes.Length < SectionId + 1 + bytes[SectionId] + 8)
        {
            return 0;
        }

        return bytes.Slice(SectionId + 1, bytes[SectionId]).SequenceEqual("ram"u8)
            ? Section("START", SectionId + 1 + bytes[SectionId] + 8) : GoBlind();
    }

    private int Section(string record, int bytes)
    {
        Tell(record);
        _isInSection = true;
        return bytes;
    }

    private int RamRecord(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < sizeof(ulong))
        {
            return 0;
        }

        var record = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        switch (record & 0xFFF)
        {
            case 0x10: // EOS, and the footer
                _isInSection = false;
                Skip(SectionId);
                return sizeof(ulong);
            case 0x200: // multifd is to be synchronised here
                return sizeof(ulong);
            case 0x04:
                return Blocks(bytes, (long)(record & ~0xFFFUL));
            case 0x02 or 0x08 or 0x22 or 0x28:
                var named = (record & 0x20) == 0;
                if (named && bytes.Length < sizeof(ulong) + 1)
                {
                    return 0;
                }

                Skip((named ? bytes[sizeof(ulong)] : 0) + ((record & 0x08) != 0 ? PageBytes : 1));
                return sizeof(ulong) + (named ? 1 : 0);
            default:
                return GoBlind();
        }
    }

    /// <summary>The list of blocks is short: it is taken when all of it is here.</summary>
    private static int Blocks(ReadOnlySpan<byte> bytes, long total)
    {
        var at = sizeof(ulong);
        while (total > 0)
        {
            if (bytes.Length <= at || bytes.Length < at + 1 + bytes[at] + sizeof(ulong))
            {
                return 0;
            }

            at += 1 + bytes[at];
            total -= (long)BinaryPrimitives.ReadUInt64BigEndian(bytes[at..]);
            at += sizeof(ulong);
        }

        return at;
    }
}
