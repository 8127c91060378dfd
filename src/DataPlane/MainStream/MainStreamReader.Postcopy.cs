using System.Buffers.Binary;
using DataPlane.MainStream.Devices;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <content>
/// The switch to postcopy, and what is legal up to it (specification, 4-postcopy section 4.1.7). After the package another reader takes the
/// stream over.
/// <code>
///   none      ADVISE -> advised
///   advised   setup and pages as in precopy; DISCARD -> discarding; PACKAGED -> the switch; END of ram: no switch after all
///   discarding  DISCARD, PING; PACKAGED -> the switch
///               the guest stops at the first DISCARD, or after PING "ahead" at the first other PING that follows a DISCARD
/// </code>
/// </content>
internal sealed partial class MainStreamReader
{
    /// <summary>
    /// Largest first buffer for a package, in bytes. The buffer doubles whenever it is full, since the announced length is only a claim of
    /// the peer.
    /// </summary>
    private const int PackageStep = 1 << 20;

    private bool _discarding;
    private bool _guestRunsOn; // the source has said that its DISCARDs come while its guest still runs
    private bool _isStopNoted;

    /// <summary>
    /// The values of the PINGs in the package of postcopy, which the source wants back when the device state has been loaded. Null if the
    /// source has not switched to postcopy.
    /// </summary>
    public IReadOnlyList<uint>? SwitchPings { get; private set; }

    /// <summary>Whether the source has announced that it may switch its RAM to postcopy.</summary>
    public bool IsPostcopyAdvised => _ram.AdvisedPageSizes != 0;

    /// <summary>Size of the package of postcopy in bytes; 0 without a package.</summary>
    public long PackageBytes { get; private set; }

    /// <summary>The id of the ram section, which the reader after the switch needs.</summary>
    public uint RamSection => _ramSection;

    /// <summary>Returns and consumes everything that has been received but not read: the beginning of what follows the package.</summary>
    public byte[] TakeRest()
    {
        var rest = new byte[_stream.Buffered];
        _stream.CopyTo(rest);
        return rest;
    }

    private IPostcopyEvents RequirePostcopy(CommandType command)
    {
        if (_options.Postcopy is not { } events)
        {
            throw new ChannelException(
                FailureReason.NotSupported, _stream.Channel,
                $"command {command}: postcopy is not expected here, at offset {_stream.Position}");
        }

        return _ram.AdvisedPageSizes != 0 && _ram.Started && _returnPathOpen
            ? events
            : throw _stream.Malformed($"command {command} without return path, advice or list of RAM blocks");
    }

    private async ValueTask ReadDiscardAsync(int length, CancellationToken cancellationToken)
    {
        var events = RequirePostcopy(CommandType.PostcopyRamDiscard);
        await _stream.RequireAsync(CommandHeader.Size + length, "POSTCOPY_RAM_DISCARD", cancellationToken).ConfigureAwait(false);
        _stream.Advance(CommandHeader.Size);
        var payload = new byte[length];
        _stream.CopyTo(payload);
        _discarding = true;
        if (!_guestRunsOn)
        {
            NoteStop(events);
        }

        Discard(payload, events);
    }

    /// <summary>Takes note of what a PING tells about the guest at the source.</summary>
    private void OnPing(uint value)
    {
        if (value == PostcopyDiscard.AheadPing)
        {
            _guestRunsOn = true;
        }
        else if (_guestRunsOn && _discarding)
        {
            _guestRunsOn = false;
            NoteStop(_options.Postcopy!); // no DISCARD is read without it
        }
    }

    private void NoteStop(IPostcopyEvents events)
    {
        if (!_isStopNoted)
        {
            _isStopNoted = true;
            events.OnStop();
        }
    }

    private void Discard(ReadOnlySpan<byte> payload, IPostcopyEvents events)
    {
        if (!PostcopyDiscard.TryRead(payload, out var discard, out var error))
        {
            throw _stream.Malformed(error!);
        }

        if (!_ram.Memory!.TryGetBlock(discard.BlockName, out var block))
        {
            throw ChannelException.Violation(
                _stream.Channel, $"unknown RAM block {WireName.Quote(discard.BlockName)}, before offset {_stream.Position}");
        }

        if (!discard.TryCheckRanges(block.Length, events.HostPageSizeOf(block), out error))
        {
            throw ChannelException.Violation(_stream.Channel, $"block '{block.Name}': {error}, before offset {_stream.Position}");
        }

        for (var i = 0; i < discard.RangeCount; i++)
        {
            var (start, bytes) = discard[i];
            events.OnDiscard(block, start >> Memory.TargetPage.Shift, bytes >> Memory.TargetPage.Shift);
        }
    }

    /// <summary>
    /// Reads the whole package before any of it is used, because the pages that its devices need follow it on this channel.
    /// </summary>
    private async ValueTask ReadPackageAsync(CancellationToken cancellationToken)
    {
        RequirePostcopy(CommandType.Packaged);
        await _stream.RequireAsync(CommandHeader.Size + sizeof(uint), "PACKAGED", cancellationToken).ConfigureAwait(false);
        _stream.Advance(CommandHeader.Size);
        var length = BinaryPrimitives.ReadUInt32BigEndian(_stream.Peek(sizeof(uint)));
        if (length > _options.MaxDeviceStateBytes)
        {
            throw new ChannelException(
                FailureReason.LimitExceeded, _stream.Channel, $"a package of {length} bytes; allowed are {_options.MaxDeviceStateBytes}");
        }

        _stream.Advance(sizeof(uint));
        var package = new byte[Math.Min((int)length, PackageStep)];
        for (var filled = 0; filled < length;)
        {
            await _stream.RequireAsync(1, "the package", cancellationToken).ConfigureAwait(false);
            if (filled == package.Length)
            {
                Array.Resize(ref package, (int)Math.Min(length, 2L * filled));
            }

            var count = (int)Math.Min(_stream.Buffered, package.Length - filled);
            _stream.CopyTo(package.AsSpan(filled, count));
            filled += count;
        }

        Open(package);
    }

    private void Open(byte[] package)
    {
        if (!PostcopyPackage.TryRead(package, out var contents, out var error))
        {
            throw _stream.Malformed(error!);
        }

        SwitchPings = contents.Pings;
        PackageBytes = package.Length;
        _packagedDevices = DeviceState.FromPackage(
            JoinEarlySections(), package.AsMemory(contents.DevicesStart, contents.DevicesLength));
    }
}
