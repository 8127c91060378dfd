using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Which sections have started in a main stream, and under which ids. It refuses every section that does not belong there.
/// </summary>
internal sealed class SectionIds(StreamCursor stream)
{
    private uint? _ram;
    private uint? _bitmaps;

    /// <summary>The id of the ram section; 0 before it has started.</summary>
    public uint Ram => _ram ?? 0;

    /// <summary>Reads and checks the header of a START, PART or END section, and returns the id of the section.</summary>
    /// <exception cref="ChannelException">The header is malformed, or its section does not belong there.</exception>
    public uint ReadHeader()
    {
        var header = stream.Parse<SectionHeader>(SectionHeader.Parse, minSize: 1, SectionHeader.MaxSize, "a section header", out var size);
        Check(header);
        stream.Advance(size);
        return header.Id;
    }

    /// <summary>Whether this is the section of dirty bitmaps. Any other one is that of ram.</summary>
    public bool IsOfBitmaps(uint id) => id == _bitmaps;

    private void Check(SectionHeader header)
    {
        if (header.Type == SectionType.Start)
        {
            CheckStart(header);
        }
        else if (header.Id != _ram && header.Id != _bitmaps)
        {
            throw stream.Malformed($"a {header.Type} of section {header.Id}, which was not started");
        }
    }

    private void CheckStart(SectionHeader header)
    {
        if (header.Id == _bitmaps || header.Id == _ram)
        {
            throw stream.Malformed($"section {header.Id} starts twice");
        }

        if (header.Name.SequenceEqual("ram"u8) && header.Instance == 0)
        {
            CheckRamStart(header);
            _ram = header.Id;
        }
        else if (header.Name.SequenceEqual(DirtyBitmapRecord.SectionName) && header.Version == DirtyBitmapRecord.SectionVersion)
        {
            _bitmaps = _bitmaps is null ? header.Id : throw stream.Malformed("the section of dirty bitmaps starts twice");
        }
        else
        {
            throw new ChannelException(
                FailureReason.NotSupported, stream.Channel, $"{ForeignSection.Describe(header.Name)}, at offset {stream.Position}");
        }
    }

    private void CheckRamStart(SectionHeader header)
    {
        if (_ram is not null)
        {
            throw stream.Malformed("the ram section starts twice");
        }

        if (header.Version != RamSectionReader.Version)
        {
            throw stream.Malformed($"version {header.Version} of the ram section, expected {RamSectionReader.Version}");
        }
    }
}
