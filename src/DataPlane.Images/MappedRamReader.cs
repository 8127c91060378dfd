using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using DataPlane.MainStream.Devices;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>
/// Reads everything in a mapped-ram file except pages and bitmaps. <see cref="MappedRamLayout"/> shows the order; files of QEMU also hold
/// commands and empty PART sections. Everything is compared with the length of the file and its other parts before it is used.
/// </summary>
internal sealed class MappedRamReader
{
    private const int FirstStateBytes = 1 << 20;
    private const uint RamVersion = 4;

    private readonly ImageCursor _cursor;
    private readonly MappedRamLimits _limits;
    private readonly List<EarlySection> _early = [];
    private ConfigurationSection? _configuration;
    private uint _ramSectionId;
    private MappedRamBlockReader? _blocks;
    private DeviceState? _state;

    private MappedRamReader(ImageBytes image, MappedRamLimits limits, long baseOffset)
    {
        _cursor = new ImageCursor(image, baseOffset);
        _limits = limits;
    }

    /// <summary>Reads an image. Returns false if it is damaged, incomplete or not in this format.</summary>
    /// <param name="image">The bytes of the file.</param>
    /// <param name="limits">Limits of what the file may announce.</param>
    /// <param name="baseOffset">Offset of the image in the file.</param>
    /// <param name="info">The contents.</param>
    /// <param name="error">What is wrong, and where in the file.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static bool TryRead(
        ImageBytes image, MappedRamLimits limits, long baseOffset,
        [NotNullWhen(true)] out MappedRamImageInfo? info, [NotNullWhen(false)] out string? error)
    {
        var reader = new MappedRamReader(image, limits, baseOffset);
        var complete = reader.ReadHead(baseOffset) && reader.ReadUntilRam() && reader.ReadBlocks(baseOffset)
            && reader.ReadUntilDevices() && reader.ReadDevices();
        error = complete ? null : $"at {reader._cursor.Position:X}: {reader._cursor.Error}";
        info = !complete ? null : new MappedRamImageInfo
        {
            Configuration = reader._configuration!,
            RamSectionId = reader._ramSectionId,
            Blocks = reader._blocks!.Blocks,
            TotalRamBytes = reader._blocks.TotalBytes,
            State = reader._state!,
        };
        return complete;
    }

    private bool ReadHead(long baseOffset)
    {
        if (baseOffset < 0 || baseOffset > _cursor.Length)
        {
            return _cursor.Fail($"the image would begin beyond the end of the file ({_cursor.Length:X})");
        }

        if (!StreamHeader.TryRead(_cursor.Look(StreamHeader.Size), out var error))
        {
            return _cursor.Fail(error);
        }

        _cursor.Position += StreamHeader.Size;
        var status = ConfigurationSection.Parse(_cursor.Look(ImageCursor.ElementBytes), out _configuration, out var consumed, out error);
        if (!_cursor.Move(status, consumed, error))
        {
            return false;
        }

        return _configuration!.IsMappedRam
            || _cursor.Fail("this is a saved stream, not a mapped-ram file: the configuration lacks mapped-ram");
    }

    private bool ReadUntilRam()
    {
        while (true)
        {
            var next = _cursor.Look(ImageCursor.ElementBytes);
            if (next.IsEmpty)
            {
                return _cursor.Move(OperationStatus.NeedMoreData, 0, null);
            }

            switch ((SectionType)next[0])
            {
                case SectionType.Command:
                    if (!SkipCommand())
                    {
                        return false;
                    }

                    break;
                case SectionType.Full:
                    if (!ReadEarly())
                    {
                        return false;
                    }

                    break;
                default:
                    return ReadRamStart(next);
            }
        }
    }

    private bool ReadRamStart(ReadOnlySpan<byte> source)
    {
        var status = SectionHeader.Parse(source, out var header, out var consumed, out var error);
        if (status == OperationStatus.Done
            && !(header.Type == SectionType.Start && header.Name.SequenceEqual("ram"u8) && header.Instance == 0
                && header.Version == RamVersion))
        {
            return _cursor.Fail(
                $"{header.Type} section {WireName.Quote(header.Name)} version {header.Version}, not the START of ram version {RamVersion}");
        }

        _ramSectionId = header.Id;
        return _cursor.Move(status, consumed, error);
    }

    private bool ReadBlocks(long baseOffset)
    {
        _blocks = new MappedRamBlockReader(_cursor, _limits.MaxRamBytes, _configuration!.IgnoresShared);
        return _blocks.TryRead(baseOffset);
    }

    /// <summary>
    /// Reads what follows the block list: its end, then empty PART sections, commands, early sections (QEMU 10.0 has them here) and the
    /// END. If the END is missing, what looked like early sections are the devices.
    /// </summary>
    private bool ReadUntilDevices()
    {
        if (!ReadEmptyBody())
        {
            return false;
        }

        long? firstFull = null;
        var earlyBefore = _early.Count;
        while (true)
        {
            var next = _cursor.Look(1);
            SectionType? type = next.IsEmpty ? null : (SectionType)next[0];
            if (type == SectionType.Full)
            {
                firstFull ??= _cursor.Position;
            }

            var read = type switch
            {
                SectionType.Full => ReadEarly(),
                SectionType.Command => SkipCommand(),
                SectionType.EndOfFile => firstFull is null,
                null => _cursor.Move(OperationStatus.NeedMoreData, 0, null),
                _ => ReadEmptySection(),
            };
            if (!read && firstFull is { } devices)
            {
                _cursor.Position = devices;
                _early.RemoveRange(earlyBefore, _early.Count - earlyBefore);
                return true;
            }

            if (!read || type is SectionType.End or SectionType.EndOfFile)
            {
                return read;
            }
        }
    }

    private bool ReadEarly()
    {
        // The search for the end of each section reads a megabyte.
        if (_early.Count == WireLimits.MaxEarlySections)
        {
            return _cursor.Fail($"more than {WireLimits.MaxEarlySections} device sections among those of RAM");
        }

        var status =
            EarlySection.Parse(_cursor.Look(EarlySection.MaxSize + 1), out var section, out var consumed, out var error);
        if (status == OperationStatus.Done)
        {
            _early.Add(section!);
        }

        return _cursor.Move(status, consumed, error);
    }

    private bool ReadEmptySection()
    {
        var status =
            SectionHeader.Parse(_cursor.Look(SectionHeader.MaxSize), out var header, out var consumed, out var error);
        if (status == OperationStatus.Done && (header.Type == SectionType.Start || header.Id != _ramSectionId))
        {
            return _cursor.Fail($"{header.Type} of section {header.Id}, only ram ({_ramSectionId}) is supported");
        }

        return _cursor.Move(status, consumed, error) && ReadEmptyBody();
    }

    /// <summary>
    /// Reads the body of a section of ram, which in a file holds nothing but its end, because pages have places of their own.
    /// </summary>
    private bool ReadEmptyBody()
    {
        var status =
            RamRecordHeader.Parse(_cursor.Look(RamRecordHeader.MaxSize), out var record, out var consumed, out var error);
        if (status == OperationStatus.Done && record.Kind != RamFlags.EndOfSection)
        {
            return _cursor.Fail($"a {record.Flags} record in a mapped-ram file");
        }

        if (!_cursor.Move(status, consumed, error))
        {
            return false;
        }

        var footer = _cursor.Look(SectionFooter.Size);
        if (footer.Length < SectionFooter.Size)
        {
            return _cursor.Move(OperationStatus.NeedMoreData, 0, null);
        }

        var ends = SectionFooter.TryRead(footer, _ramSectionId, out error);
        return _cursor.Move(ends ? OperationStatus.Done : OperationStatus.InvalidData, SectionFooter.Size, error);
    }

    private bool SkipCommand()
    {
        var source = _cursor.Look(CommandHeader.Size);
        if (source.Length < CommandHeader.Size)
        {
            return _cursor.Move(OperationStatus.NeedMoreData, 0, null);
        }

        if (!CommandHeader.TryRead(source, out var command, out var error))
        {
            return _cursor.Fail(error);
        }

        if (command.Type == CommandType.Packaged)
        {
            return _cursor.Fail("a package of postcopy in a mapped-ram file");
        }

        var size = CommandHeader.Size + command.Length;
        return _cursor.Move(size > _cursor.Length - _cursor.Position ? OperationStatus.NeedMoreData : OperationStatus.Done, size, null);
    }

    /// <summary>
    /// Reads the device state in ever larger beginnings of the rest, because garbage of any length may follow the description.
    /// </summary>
    private bool ReadDevices()
    {
        var splitter = new DeviceStateSplitter(_limits.MaxDeviceStateBytes, _early);
        var rest = _cursor.Length - _cursor.Position;
        long size = FirstStateBytes;
        while (true)
        {
            // One byte over the limit lets the splitter see that there is too much.
            var wanted = Math.Min(size, Math.Min(rest, _limits.MaxDeviceStateBytes + 1L));
            var bytes = _cursor.Look((int)Math.Min(wanted, Array.MaxLength));
            var status =
                splitter.TryFinish(bytes, endOfStream: bytes.Length == rest, out var consumed, out _state, out var error);
            if (status != OperationStatus.NeedMoreData)
            {
                return _cursor.Move(status, consumed, error);
            }

            if (bytes.Length < wanted)
            {
                return _cursor.Fail("the file became shorter while it was read");
            }

            size *= 2;
        }
    }
}

/// <summary>Limits of what a file may announce.</summary>
/// <param name="MaxRamBytes">Largest sum of all RAM blocks, in bytes.</param>
/// <param name="MaxDeviceStateBytes">Largest device state with its description, in bytes. It is read into memory.</param>
internal readonly record struct MappedRamLimits(long MaxRamBytes, int MaxDeviceStateBytes = DeviceStateSplitter.DefaultMaxBytes);

/// <summary>
/// What a mapped-ram file holds, except for pages and bitmaps, which are still in the file. Everything has been checked against the length
/// of the file.
/// </summary>
internal sealed record MappedRamImageInfo
{
    public required ConfigurationSection Configuration { get; init; }

    public required uint RamSectionId { get; init; }

    /// <summary>The RAM blocks in the order of the file. Their areas do not overlap.</summary>
    public required IReadOnlyList<MappedRamBlock> Blocks { get; init; }

    public required long TotalRamBytes { get; init; }

    public required DeviceState State { get; init; }
}
