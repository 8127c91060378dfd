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
internal sealed class MainStreamReader
{
    private readonly StreamCursor _stream;
    private readonly MainStreamOptions _options;
    private readonly IMainStreamEvents _events;
    private readonly SectionIds _sections;
    private readonly EarlySectionReader _early;
    private readonly CommandReader _commands;
    private readonly RamSectionReader _ram;
    private readonly DirtyBitmapSectionReader _bitmaps;
    private bool _pagesBegun;

    public MainStreamReader(StreamCursor stream, ReturnPathSender returnPath, MainStreamOptions options, IMainStreamEvents events)
    {
        _stream = stream;
        _options = options;
        _events = events;
        _sections = new SectionIds(stream);
        _early = new EarlySectionReader(stream, options.MaxDeviceStateBytes);
        _commands = new CommandReader(stream, returnPath, options, events, _early);
        _ram = new RamSectionReader(stream, options, events);
        _bitmaps = new DirtyBitmapSectionReader(stream);
    }

    /// <summary>Number of pages that came with their contents on the main channel.</summary>
    public long NormalPages => _ram.NormalPages;

    /// <summary>Number of pages that came as zero records on the main channel.</summary>
    public long ZeroPages => _ram.ZeroPages;

    /// <summary>
    /// The values of the PINGs in the package of postcopy, which the source wants back when the device state has been loaded. Null if the
    /// source has not switched to postcopy.
    /// </summary>
    public IReadOnlyList<uint>? SwitchPings => _commands.Switch.Pings;

    /// <summary>Whether the source has announced that it may switch its RAM to postcopy.</summary>
    public bool IsPostcopyAdvised => _commands.AdvisedPageSizes != 0;

    /// <summary>Size of the package of postcopy in bytes; 0 without a package.</summary>
    public long PackageBytes => _commands.Switch.PackageBytes;

    /// <summary>The id of the ram section, which the reader after the switch needs.</summary>
    public uint RamSection => _sections.Ram;

    /// <summary>
    /// Reads the stream on a thread of its own and returns the device state, which comes at the end of the stream or in the package of
    /// postcopy. What has been received after it is left in the pipe.
    /// </summary>
    /// <exception cref="ChannelException">The stream is broken, ends early, or uses a feature that is not supported.</exception>
    public Task<DeviceState> ReadAsync(CancellationToken cancellationToken) =>
        OwnThread.RunAsync("dp-main", () => Read(cancellationToken));

    /// <summary>Does on the calling thread what <see cref="ReadAsync"/> does on its own.</summary>
    public DeviceState Read(CancellationToken cancellationToken)
    {
        _stream.Cancellation = cancellationToken;
        try
        {
            ReadHeader();
            DeviceState? packaged = null;
            while (!ReadSection(ref packaged))
            {
            }

            _events.OnRamComplete();
            return packaged ?? DeviceStateReader.Read(_stream, _options.MaxDeviceStateBytes, _early.Sections);
        }
        finally
        {
            _stream.LeaveRest();
        }
    }

    private void ReadHeader()
    {
        _stream.Fill(StreamHeader.Size, "the stream header");
        if (!StreamHeader.TryRead(_stream.Peek(StreamHeader.Size), out var error))
        {
            throw _stream.Malformed(error!);
        }

        _stream.Advance(StreamHeader.Size);
        _events.OnConfiguration(ReadConfiguration());
    }

    private ConfigurationSection ReadConfiguration()
    {
        var bytes = new ArrayBufferWriter<byte>();
        for (long wanted = 1; ; wanted = bytes.WrittenCount + 1)
        {
            _stream.Fill(wanted, "the configuration section");
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
    private bool ReadSection(ref DeviceState? packaged)
    {
        _stream.Fill(1, "the stream: no end of RAM");
        var type = (SectionType)_stream.PeekByte();
        switch (type)
        {
            case SectionType.Command:
                packaged = _commands.Read(_ram.Memory);
                return packaged is not null;
            case var _ when _commands.Switch.IsDiscarding:
                throw _stream.Malformed($"a {type} section between the discards and the package");
            case SectionType.Full when _pagesBegun:
                BeginSnapshot();
                return true;
            case SectionType.Full:
                _early.Read(hasMemory: _ram.Memory is not null);
                return false;
            case SectionType.Start:
            case SectionType.Part:
            case SectionType.End:
                return ReadIterableSection(type);
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
        if (_commands.IsReturnPathOpen || _options.Multifd || IsPostcopyAdvised)
        {
            throw _stream.Malformed("a device section between the pages");
        }

        _events.OnBackgroundSnapshot();
    }

    /// <summary>Reads a START, PART or END section. Returns true after the END of ram.</summary>
    private bool ReadIterableSection(SectionType type)
    {
        var section = _sections.ReadHeader();
        var isRam = !_sections.IsOfBitmaps(section);
        if (!isRam)
        {
            _bitmaps.ReadBody();
        }
        else if (type == SectionType.Start)
        {
            _ram.ReadBody(new RamStart(_early.Join(), _commands.AdvisedPageSizes));
        }
        else
        {
            _pagesBegun = true;
            _ram.ReadBody();
        }

        _stream.ReadFooter(section);
        return isRam && type == SectionType.End;
    }
}
