using System.Buffers;

namespace DataPlane.Wire;

/// <summary>
/// Header of START, PART, END and FULL sections (specification, 2-main-stream section 1.3). The body follows, and only whoever understands
/// it knows where it ends.
/// <code>
/// START, FULL:  u8 type | u32 id | u8 n, name | u32 instance | u32 version
/// PART, END:    u8 type | u32 id
/// </code>
/// </summary>
internal readonly ref struct SectionHeader
{
    public const int MaxSize = 1 + 4 + 1 + WireLimits.MaxNameLength + 4 + 4;

    public SectionType Type { get; private init; }

    public uint Id { get; private init; }

    /// <summary>A slice of the parsed bytes; empty for PART and END.</summary>
    public ReadOnlySpan<byte> Name { get; private init; }

    public uint Instance { get; private init; }

    public uint Version { get; private init; }

    public static OperationStatus Parse(ReadOnlySpan<byte> source, out SectionHeader header, out int consumed, out string? error)
    {
        header = default;
        consumed = 0;
        error = null;
        var reader = new WireReader(source);
        if (!reader.TryRead(out byte type))
        {
            return OperationStatus.NeedMoreData;
        }

        var sectionType = (SectionType)type;
        if (sectionType is not (SectionType.Start or SectionType.Part or SectionType.End or SectionType.Full))
        {
            error = $"unknown section type {type:X2}";
            return OperationStatus.InvalidData;
        }

        if (!reader.TryRead(out uint id))
        {
            return OperationStatus.NeedMoreData;
        }

        ReadOnlySpan<byte> name = default;
        uint instance = 0, version = 0;
        if (sectionType is SectionType.Start or SectionType.Full)
        {
            if (reader.TryPeek(out byte length) && length == 0)
            {
                error = $"{sectionType} section {id} has no name";
                return OperationStatus.InvalidData;
            }

            if (!reader.TryReadName(out name) || !reader.TryRead(out instance) || !reader.TryRead(out version))
            {
                return OperationStatus.NeedMoreData;
            }
        }

        header = new SectionHeader { Type = sectionType, Id = id, Name = name, Instance = instance, Version = version };
        consumed = reader.Position;
        return OperationStatus.Done;
    }

    /// <summary>Writes a START or FULL header and returns its size.</summary>
    public static int Write(Span<byte> destination, SectionType type, uint id, ReadOnlySpan<byte> name, uint instance, uint version)
    {
        if (type is not (SectionType.Start or SectionType.Full))
        {
            throw new ArgumentOutOfRangeException(nameof(type), type, "Only START and FULL carry a name.");
        }

        var writer = new WireWriter(destination);
        writer.Write((byte)type);
        writer.Write(id);
        writer.WriteName(name);
        writer.Write(instance);
        writer.Write(version);
        return writer.Written;
    }

    /// <summary>Writes a PART or END header and returns its size.</summary>
    public static int Write(Span<byte> destination, SectionType type, uint id)
    {
        if (type is not (SectionType.Part or SectionType.End))
        {
            throw new ArgumentOutOfRangeException(nameof(type), type, "Only PART and END have no name.");
        }

        var writer = new WireWriter(destination);
        writer.Write((byte)type);
        writer.Write(id);
        return writer.Written;
    }
}

/// <summary>The byte that opens each element of the main stream (specification, 2-main-stream section 1.3).</summary>
internal enum SectionType : byte
{
    EndOfFile = 0,
    Start = 1,
    Part = 2,
    End = 3,
    Full = 4,
    Subsection = 5,
    VmDescription = 6,
    Configuration = 7,
    Command = 8,
    Footer = 0x7E,
}
