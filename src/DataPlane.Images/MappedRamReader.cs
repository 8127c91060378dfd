using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using DataPlane.MainStream.Devices;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>
/// Reads everything in a mapped-ram file except pages and bitmaps. <see cref="MappedRamLayout"/> shows the order; files of QEMU also hold
/// commands and empty PART sections. Everything is compared with the length of the file and its other parts before it is used.
/// </summary>
internal sealed partial class MappedRamReader
{
    /// <summary>
    /// Number of bytes looked at for one element, which is more than any configuration or section header has. Early sections need more.
    /// </summary>
    private const int ElementBytes = 32 << 10;

    private const int FirstStateBytes = 1 << 20;
    private const uint RamVersion = 4;

    private readonly ImageBytes _image;
    private readonly MappedRamLimits _limits;
    private readonly List<EarlySection> _early = [];
    private readonly List<MappedRamBlock> _blocks = [];
    private readonly List<(long Start, long End)> _ranges = [];
    private byte[] _buffer = new byte[ElementBytes];
    private long _position;
    private string? _error;
    private ConfigurationSection? _configuration;
    private uint _ramSectionId;
    private long _totalBytes;
    private DeviceState? _state;

    private MappedRamReader(ImageBytes image, MappedRamLimits limits, long baseOffset)
    {
        _image = image;
        _limits = limits;
        _position = baseOffset;
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
        error = complete ? null : $"at {reader._position:X}: {reader._error}";
        info = !complete ? null : new MappedRamImageInfo
        {
            Configuration = reader._configuration!,
            RamSectionId = reader._ramSectionId,
            Blocks = reader._blocks,
            TotalRamBytes = reader._totalBytes,
            State = reader._state!,
        };
        return complete;
    }

    private bool ReadHead(long baseOffset)
    {
        if (baseOffset < 0 || baseOffset > _image.Length)
        {
            return Fail($"the image would begin beyond the end of the file ({_image.Length:X})");
        }

        if (!StreamHeader.TryRead(Look(StreamHeader.Size), out var error))
        {
            return Fail(error);
        }

        _position += StreamHeader.Size;
        var status = ConfigurationSection.Parse(Look(ElementBytes), out _configuration, out var consumed, out error);
        if (!Move(status, consumed, error))
        {
            return false;
        }

        return _configuration!.IsMappedRam || Fail("this is a saved stream, not a mapped-ram file: the configuration lacks mapped-ram");
    }

    private bool ReadUntilRam()
    {
        while (true)
        {
            var next = Look(ElementBytes);
            if (next.IsEmpty)
            {
                return Move(OperationStatus.NeedMoreData, 0, null);
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
            return Fail(
                $"{header.Type} section {WireName.Quote(header.Name)} version {header.Version}, not the START of ram version {RamVersion}");
        }

        _ramSectionId = header.Id;
        return Move(status, consumed, error);
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
            var next = Look(1);
            SectionType? type = next.IsEmpty ? null : (SectionType)next[0];
            if (type == SectionType.Full)
            {
                firstFull ??= _position;
            }

            var read = type switch
            {
                SectionType.Full => ReadEarly(),
                SectionType.Command => SkipCommand(),
                SectionType.EndOfFile => firstFull is null,
                null => Move(OperationStatus.NeedMoreData, 0, null),
                _ => ReadEmptySection(),
            };
            if (!read && firstFull is { } devices)
            {
                _position = devices;
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
            return Fail($"more than {WireLimits.MaxEarlySections} device sections among those of RAM");
        }

        var status =
            EarlySection.Parse(Look(EarlySection.MaxSize + 1), out var section, out var consumed, out var error);
        if (status == OperationStatus.Done)
        {
            _early.Add(section!);
        }

        return Move(status, consumed, error);
    }

    private bool ReadEmptySection()
    {
        var status =
            SectionHeader.Parse(Look(SectionHeader.MaxSize), out var header, out var consumed, out var error);
        if (status == OperationStatus.Done && (header.Type == SectionType.Start || header.Id != _ramSectionId))
        {
            return Fail($"{header.Type} of section {header.Id}, only ram ({_ramSectionId}) is supported");
        }

        return Move(status, consumed, error) && ReadEmptyBody();
    }

    /// <summary>
    /// Reads the body of a section of ram, which in a file holds nothing but its end, because pages have places of their own.
    /// </summary>
    private bool ReadEmptyBody()
    {
        var status =
            RamRecordHeader.Parse(Look(RamRecordHeader.MaxSize), out var record, out var consumed, out var error);
        if (status == OperationStatus.Done && record.Kind != RamFlags.EndOfSection)
        {
            return Fail($"a {record.Flags} record in a mapped-ram file");
        }

        if (!Move(status, consumed, error))
        {
            return false;
        }

        var footer = Look(SectionFooter.Size);
        if (footer.Length < SectionFooter.Size)
        {
            return Move(OperationStatus.NeedMoreData, 0, null);
        }

        var ends = SectionFooter.TryRead(footer, _ramSectionId, out error);
        return Move(ends ? OperationStatus.Done : OperationStatus.InvalidData, SectionFooter.Size, error);
    }

    private bool SkipCommand()
    {
        var source = Look(CommandHeader.Size);
        if (source.Length < CommandHeader.Size)
        {
            return Move(OperationStatus.NeedMoreData, 0, null);
        }

        if (!CommandHeader.TryRead(source, out var command, out var error))
        {
            return Fail(error);
        }

        if (command.Type == CommandType.Packaged)
        {
            return Fail("a package of postcopy in a mapped-ram file");
        }

        var size = CommandHeader.Size + command.Length;
        return Move(size > _image.Length - _position ? OperationStatus.NeedMoreData : OperationStatus.Done, size, null);
    }

    /// <summary>
    /// Reads the device state in ever larger beginnings of the rest, because garbage of any length may follow the description.
    /// </summary>
    private bool ReadDevices()
    {
        var splitter = new DeviceStateSplitter(_limits.MaxDeviceStateBytes, _early);
        var rest = _image.Length - _position;
        long size = FirstStateBytes;
        while (true)
        {
            // One byte over the limit lets the splitter see that there is too much.
            var wanted = Math.Min(size, Math.Min(rest, _limits.MaxDeviceStateBytes + 1L));
            var bytes = Look((int)Math.Min(wanted, Array.MaxLength));
            var status =
                splitter.TryFinish(bytes, endOfStream: bytes.Length == rest, out var consumed, out _state, out var error);
            if (status != OperationStatus.NeedMoreData)
            {
                return Move(status, consumed, error);
            }

            if (bytes.Length < wanted)
            {
                return Fail("the file became shorter while it was read");
            }

            size *= 2;
        }
    }

    /// <summary>Returns up to <paramref name="count"/> bytes from the position on, which are valid until the next call.</summary>
    private ReadOnlySpan<byte> Look(int count)
    {
        var available = (int)Math.Clamp(_image.Length - _position, 0, count);
        if (_buffer.Length < available)
        {
            _buffer = new byte[available];
        }

        return _buffer.AsSpan(0, _image.Read(_position, _buffer.AsSpan(0, available)));
    }

    private bool Move(OperationStatus status, int consumed, string? error)
    {
        if (status == OperationStatus.NeedMoreData)
        {
            return Fail($"the file ends ({_image.Length:X} bytes) before the image does");
        }

        if (status != OperationStatus.Done)
        {
            return Fail(error);
        }

        _position += consumed;
        return true;
    }

    private bool Fail(string? error)
    {
        _error = error;
        return false;
    }
}
