using System.Buffers;
using DataPlane.MainStream.Devices;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads one main stream from its first byte to the last byte of precopy, or to the switch to postcopy (specification,
/// 2-main-stream sections 1, 3 and 5).
/// </summary>
/// <remarks>
/// <code>
///   header, configuration
///   [OPEN_RETURN_PATH, PING] [ADVISE] [early FULL sections]
///   START ram  [START dirty-bitmap, empty]  [early FULL sections]  PART ram *  [SWITCHOVER_START]  END ram
///   FULL sections, EOF byte, VM description          -> kept opaque as DeviceState
///   or, without END ram, for a background snapshot   -> the same
///   or, instead of END and what follows:
///   DISCARD *  PACKAGED with the device sections     -> kept opaque as DeviceState; SwitchPings is not null
/// </code>
/// </remarks>
internal sealed partial class MainStreamReader
{
    private readonly StreamCursor _stream;
    private readonly MainStreamOptions _options;
    private readonly IMainStreamEvents _events;
    private readonly ReturnPathSender _returnPath;
    private readonly RamSectionReader _ram;
    private readonly DirtyBitmapSectionReader _bitmaps;
    private uint _ramSection;
    private uint? _bitmapSection;
    private bool _ramStarted;
    private bool _pagesBegun;
    private DeviceState? _packagedDevices;

    public MainStreamReader(StreamCursor stream, ReturnPathSender returnPath, MainStreamOptions options, IMainStreamEvents events)
    {
        _stream = stream;
        _returnPath = returnPath;
        _options = options;
        _events = events;
        _ram = new RamSectionReader(stream, options, events);
        _bitmaps = new DirtyBitmapSectionReader(stream);
    }

    /// <summary>Number of pages that came with their contents on the main channel.</summary>
    public long NormalPages => _ram.NormalPages;

    /// <summary>Number of pages that came as zero records on the main channel.</summary>
    public long ZeroPages => _ram.ZeroPages;

    /// <summary>
    /// Reads the stream and returns the device state, which comes at the end of the stream or in the package of postcopy.
    /// </summary>
    /// <exception cref="ChannelException">The stream is broken, ends early, or uses a feature that is not supported.</exception>
    public async Task<DeviceState> ReadAsync(CancellationToken cancellationToken)
    {
        await ReadHeaderAsync(cancellationToken).ConfigureAwait(false);
        while (!await ReadSectionAsync(cancellationToken).ConfigureAwait(false))
        {
        }

        _events.OnRamComplete();
        return _packagedDevices ?? await ReadDeviceStateAsync(cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask ReadHeaderAsync(CancellationToken cancellationToken)
    {
        await _stream.RequireAsync(StreamHeader.Size, "the stream header", cancellationToken).ConfigureAwait(false);
        if (!StreamHeader.TryRead(_stream.Peek(StreamHeader.Size), out var error))
        {
            throw _stream.Malformed(error!);
        }

        _stream.Advance(StreamHeader.Size);
        _events.OnConfiguration(await ReadConfigurationAsync(cancellationToken).ConfigureAwait(false));
    }

    private async ValueTask<ConfigurationSection> ReadConfigurationAsync(CancellationToken cancellationToken)
    {
        var bytes = new ArrayBufferWriter<byte>();
        for (long wanted = 1; ; wanted = bytes.WrittenCount + 1)
        {
            await _stream.RequireAsync(wanted, "the configuration section", cancellationToken).ConfigureAwait(false);
            bytes.ResetWrittenCount();
            _stream.CopyAllTo(bytes, ConfigurationSection.MaxSize);
            switch (ConfigurationSection.Parse(bytes.WrittenSpan, out var configuration, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    _stream.Advance(consumed);
                    return configuration!;
                case OperationStatus.InvalidData:
                    throw _stream.Malformed(error!);
                case OperationStatus.NeedMoreData when bytes.WrittenCount >= ConfigurationSection.MaxSize:
                    throw _stream.Malformed("the configuration section is too long");
            }
        }
    }

    /// <summary>
    /// Reads one section or command. Returns true after the END of ram, after the package of postcopy, and at the devices of a background
    /// snapshot.
    /// </summary>
    private async ValueTask<bool> ReadSectionAsync(CancellationToken cancellationToken)
    {
        await _stream.RequireAsync(1, "the stream: no end of RAM", cancellationToken).ConfigureAwait(false);
        var type = (SectionType)_stream.PeekByte();
        switch (type)
        {
            case SectionType.Command:
                await ReadCommandAsync(cancellationToken).ConfigureAwait(false);
                return _packagedDevices is not null;
            case var _ when _discarding:
                throw _stream.Malformed($"a {type} section between the discards and the package");
            case SectionType.Full when _pagesBegun:
                BeginSnapshot();
                return true;
            case SectionType.Full:
                await ReadEarlySectionAsync(cancellationToken).ConfigureAwait(false);
                return false;
            case SectionType.Start:
            case SectionType.Part:
            case SectionType.End:
                return await ReadIterableSectionAsync(type, cancellationToken).ConfigureAwait(false);
            default:
                throw _stream.Malformed($"unexpected section type 0x{(byte)type:x2}");
        }
    }

    /// <summary>
    /// Handles a device section that follows pages without an END of RAM, as in a background snapshot. Such a snapshot has neither a return
    /// path nor multifd nor postcopy, and no other source sends devices between its pages.
    /// </summary>
    private void BeginSnapshot()
    {
        if (_returnPathOpen || _options.Multifd || IsPostcopyAdvised)
        {
            throw _stream.Malformed("a device section between the pages");
        }

        _events.OnBackgroundSnapshot();
    }

    /// <summary>Reads a START, PART or END section. Returns true after the END of ram.</summary>
    private async ValueTask<bool> ReadIterableSectionAsync(SectionType type, CancellationToken cancellationToken)
    {
        var section = await ReadSectionHeaderAsync(cancellationToken).ConfigureAwait(false);
        var isRam = section != _bitmapSection;
        if (!isRam)
        {
            await _bitmaps.ReadBodyAsync(cancellationToken).ConfigureAwait(false);
        }
        else
        {
            if (type == SectionType.Start)
            {
                _ram.EarlySections = JoinEarlySections();
            }

            _pagesBegun |= type != SectionType.Start;
            await _ram.ReadBodyAsync(type == SectionType.Start, cancellationToken).ConfigureAwait(false);
        }

        await _stream.RequireAsync(SectionFooter.Size, "a section footer", cancellationToken).ConfigureAwait(false);
        if (!SectionFooter.TryRead(_stream.Peek(SectionFooter.Size), section, out var error))
        {
            throw _stream.Malformed(error!);
        }

        _stream.Advance(SectionFooter.Size);
        return isRam && type == SectionType.End;
    }

    /// <summary>Reads and checks the header of a START, PART or END section, and returns the id of the section.</summary>
    private async ValueTask<uint> ReadSectionHeaderAsync(CancellationToken cancellationToken)
    {
        for (long wanted = 1; ; wanted = _stream.Buffered + 1)
        {
            await _stream.RequireAsync(wanted, "a section header", cancellationToken).ConfigureAwait(false);
            switch (SectionHeader.Parse(_stream.Peek(SectionHeader.MaxSize), out var header, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    CheckSection(header);
                    _stream.Advance(consumed);
                    return header.Id;
                case OperationStatus.InvalidData:
                    throw _stream.Malformed(error!);
            }
        }
    }

    private void CheckSection(SectionHeader header)
    {
        if (header.Type == SectionType.Start)
        {
            CheckStart(header);
        }
        else if (!(_ram.Started && header.Id == _ramSection) && header.Id != _bitmapSection)
        {
            throw _stream.Malformed($"a {header.Type} of section {header.Id}, which was not started");
        }
    }

    private void CheckStart(SectionHeader header)
    {
        if (header.Id == _bitmapSection || (_ramStarted && header.Id == _ramSection))
        {
            throw _stream.Malformed($"section {header.Id} starts twice");
        }

        if (header.Name.SequenceEqual("ram"u8) && header.Instance == 0)
        {
            CheckRamStart(header);
            (_ramSection, _ramStarted) = (header.Id, true);
        }
        else if (header.Name.SequenceEqual(DirtyBitmapRecord.SectionName) && header.Version == DirtyBitmapRecord.SectionVersion)
        {
            _bitmapSection = _bitmapSection is null ? header.Id : throw _stream.Malformed("the section of dirty bitmaps starts twice");
        }
        else
        {
            throw new ChannelException(
                FailureReason.NotSupported, _stream.Channel, $"{ForeignSection.Describe(header.Name)}, at offset {_stream.Position}");
        }
    }

    private void CheckRamStart(SectionHeader header)
    {
        if (_ramStarted)
        {
            throw _stream.Malformed("the ram section starts twice");
        }

        if (header.Version != RamSectionReader.Version)
        {
            throw _stream.Malformed($"version {header.Version} of the ram section, expected {RamSectionReader.Version}");
        }
    }
}
