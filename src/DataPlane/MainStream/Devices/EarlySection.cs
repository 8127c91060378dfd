using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <summary>
/// A FULL section before the END of RAM (virtio-mem). QEMU 11.1 sends it before the START, and QEMU 10.0 after the block list. Nothing
/// tells its length while it arrives, so it ends with the first footer of its own id after which a section or command may begin. The
/// description at the end of the stream lists it first.
/// </summary>
internal sealed class EarlySection
{
    /// <summary>Limit of the section in bytes. A virtio-mem section holds a few numbers, so a longer section is something else.</summary>
    public const int MaxSize = 1 << 20;

    private EarlySection(byte[] bytes, string name, uint instance)
    {
        Bytes = bytes;
        Name = name;
        Instance = instance;
    }

    /// <summary>The whole section as received.</summary>
    public byte[] Bytes { get; }

    public string Name { get; }

    public uint Instance { get; }

    /// <summary>
    /// Parses the section at the beginning of <paramref name="source"/>. One byte after the section is needed to recognise its end.
    /// </summary>
    public static OperationStatus Parse(ReadOnlySpan<byte> source, out EarlySection? section, out int consumed, out string? error)
    {
        section = null;
        consumed = 0;
        var status = SectionHeader.Parse(source, out var header, out var headerSize, out error);
        if (status != OperationStatus.Done)
        {
            return status;
        }

        if (header.Type != SectionType.Full)
        {
            error = $"{header.Type} section {header.Id} instead of a device section";
            return OperationStatus.InvalidData;
        }

        Span<byte> footer = stackalloc byte[SectionFooter.Size];
        SectionFooter.Write(footer, header.Id);
        var position = headerSize;
        while (source[position..].IndexOf(footer) is var distance && distance >= 0)
        {
            var end = position + distance + SectionFooter.Size;
            if (end > MaxSize || end == source.Length)
            {
                break;
            }

            if (MayFollow((SectionType)source[end]))
            {
                if (!WireName.TryDecode(header.Name, out var name))
                {
                    error = $"{WireName.Quote(header.Name)} is no name of a device section";
                    return OperationStatus.InvalidData;
                }

                section = new EarlySection(source[..end].ToArray(), name, header.Instance);
                consumed = end;
                return OperationStatus.Done;
            }

            position += distance + 1;
        }

        if (source.Length <= MaxSize)
        {
            return OperationStatus.NeedMoreData;
        }

        error = $"the section {WireName.Quote(header.Name)} among those of RAM does not end within {MaxSize} bytes";
        return OperationStatus.InvalidData;
    }

    private static bool MayFollow(SectionType type) =>
        type is SectionType.Start or SectionType.Part or SectionType.End or SectionType.Full or SectionType.Command;
}
