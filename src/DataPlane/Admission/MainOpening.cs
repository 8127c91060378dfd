using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.Admission;

/// <summary>
/// The first bytes of a main channel that prove it. They are more than the magic and the version, which any stranger can send, and every
/// source sends them in one piece:
/// <code>
/// 51 45 56 4d 00 00 00 03                                    header
/// 07 | u32 n | machine name | 01, 04 or 08                   configuration, and the first byte of what follows it
/// 07 | u32 n | machine name | 05 | u8 n | name | version 1   the same with subsections: the head of the first
/// 01 or 04 | u32 id | u8 n | name | u32 | u32                no configuration (machine types up to 2.3): the head of a section,
/// 08 | u16 | u16 length                                      or of a command
/// </code>
/// Every QEMU from 7.2 to 11.1 has all of them in one buffer, which it first flushes after the command that opens the return path, or
/// without that command after the block list in the START section of ram. No setting puts a wait between these bytes. The names of the
/// machine and of the subsections are not checked: that is a matter for whoever receives the VM.
/// </summary>
internal static class MainOpening
{
    /// <summary>The length of the longest proof, and so the most bytes of a main channel that an undecided connection can hold.</summary>
    public const int MaxSize = SubsectionStart + WireLimits.MaxMachineNameLength + SubsectionHead + WireLimits.MaxNameLength;

    public const byte First = 0x51;

    private const int NameStart = StreamHeader.Size + 1 + sizeof(uint);
    private const int SubsectionStart = NameStart;
    private const int SubsectionHead = 1 + 1 + sizeof(uint);
    private const int SectionNameStart = StreamHeader.Size + 1 + sizeof(uint) + 1;
    private const uint SubsectionVersion = 1;

    /// <summary>The largest payload of the commands that may come first: PING has 4 bytes, POSTCOPY_ADVISE at most 16.</summary>
    private const int MaxCommandLength = 16;

    /// <summary>Whether what has come so far is the beginning of a main channel and of no other.</summary>
    public static bool MayBe(ReadOnlySpan<byte> opening) => opening.Length > 0 && opening[0] == First;

    /// <summary>The number of bytes that make the proof whole, as far as known.</summary>
    public static int Measure(ReadOnlySpan<byte> opening)
    {
        _ = TryMeasure(opening, out var needed);
        return needed;
    }

    /// <summary>Holds a main channel beside one that may still be given up, until the host has decided about that one.</summary>
    public static AdmissionVerdict Prove(Evidence evidence) =>
        evidence.Facts.HasMain ? AdmissionVerdict.Held : AdmissionVerdict.Admit(ChannelKind.Main);

    /// <summary>Whether the bytes so far can begin a main channel.</summary>
    /// <param name="opening">The first bytes; those of the header have been checked.</param>
    /// <param name="needed">The number of bytes that make the proof whole, as far as known: it may grow until that many are there.</param>
    public static bool TryMeasure(ReadOnlySpan<byte> opening, out int needed)
    {
        needed = StreamHeader.Size + 1;
        if (opening.Length < needed)
        {
            return true;
        }

        return (SectionType)opening[StreamHeader.Size] switch
        {
            SectionType.Configuration => TryMeasureConfiguration(opening, out needed),
            SectionType.Start or SectionType.Full => TryMeasureSection(opening, out needed),
            SectionType.Command => TryMeasureCommand(opening, out needed),
            _ => false,
        };
    }

    private static bool TryMeasureConfiguration(ReadOnlySpan<byte> opening, out int needed)
    {
        needed = NameStart;
        if (opening.Length < needed)
        {
            return true;
        }

        var length = BinaryPrimitives.ReadUInt32BigEndian(opening[(StreamHeader.Size + 1)..]);
        if (length is 0 or > WireLimits.MaxMachineNameLength)
        {
            return false;
        }

        var end = NameStart + (int)length;
        needed = end + 1;
        if (opening.Length < needed)
        {
            return true;
        }

        return (SectionType)opening[end] switch
        {
            SectionType.Start or SectionType.Full or SectionType.Command => true,
            SectionType.Subsection => TryMeasureSubsection(opening, end, out needed),
            _ => false,
        };
    }

    private static bool TryMeasureSubsection(ReadOnlySpan<byte> opening, int start, out int needed)
    {
        needed = start + 2;
        if (opening.Length < needed)
        {
            return true;
        }

        int length = opening[start + 1];
        needed = start + SubsectionHead + length;
        return length > 0
            && (opening.Length < needed
                || BinaryPrimitives.ReadUInt32BigEndian(opening[(needed - sizeof(uint))..]) == SubsectionVersion);
    }

    private static bool TryMeasureSection(ReadOnlySpan<byte> opening, out int needed)
    {
        needed = SectionNameStart;
        if (opening.Length < needed)
        {
            return true;
        }

        int length = opening[SectionNameStart - 1];
        needed = SectionNameStart + length + 2 * sizeof(uint);
        return length > 0;
    }

    private static bool TryMeasureCommand(ReadOnlySpan<byte> opening, out int needed)
    {
        needed = StreamHeader.Size + CommandHeader.Size;
        return opening.Length < needed
            || BinaryPrimitives.ReadUInt16BigEndian(opening[(needed - sizeof(ushort))..]) <= MaxCommandLength;
    }
}
