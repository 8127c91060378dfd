using System.Buffers.Binary;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the commands that lead to the switch to postcopy, DISCARD and PACKAGED, and knows what is legal up to it (specification,
/// 4-postcopy section 4.1.7).
/// <code>
///   none      ADVISE -> advised
///   advised   setup and pages as in precopy; DISCARD -> discarding; PACKAGED -> the switch; END of ram: no switch after all
///   discarding  DISCARD, PING; PACKAGED -> the switch
///               the guest stops at the first DISCARD, or after PING "ahead" at the first other PING that follows a DISCARD
/// </code>
/// </summary>
/// <param name="stream">The main stream.</param>
/// <param name="events">Hears of the switch; null if postcopy is not expected, when none of these commands is read.</param>
/// <param name="maxPackageBytes">The most bytes that a package may have.</param>
internal sealed class SwitchReader(StreamCursor stream, IPostcopyEvents? events, int maxPackageBytes)
{
    /// <summary>
    /// Largest first buffer for a package, in bytes. The buffer doubles whenever it is full, since the announced length is only a claim of
    /// the peer.
    /// </summary>
    private const int PackageStep = 1 << 20;

    private bool _guestRunsOn; // the source has said that its DISCARDs come while its guest still runs
    private bool _isStopNoted;

    /// <summary>Whether a DISCARD has come, after which only PINGs, more of them and the package may follow.</summary>
    public bool IsDiscarding { get; private set; }

    /// <summary>The values of the PINGs in the package, in their order; null without a package.</summary>
    public IReadOnlyList<uint>? Pings { get; private set; }

    /// <summary>Size of the package in bytes; 0 without a package.</summary>
    public long PackageBytes { get; private set; }

    /// <summary>Reads DISCARD. Its whole header is in the stream.</summary>
    /// <exception cref="ChannelException">The command is malformed, or discards what does not exist.</exception>
    public void ReadDiscard(int length, GuestMemory memory)
    {
        stream.Fill(CommandHeader.Size + length, "POSTCOPY_RAM_DISCARD");
        stream.Advance(CommandHeader.Size);
        var payload = new byte[length];
        stream.CopyTo(payload);
        IsDiscarding = true;
        if (!_guestRunsOn)
        {
            NoteStop();
        }

        Discard(payload, memory);
    }

    /// <summary>Takes note of what a PING tells about the guest at the source.</summary>
    public void OnPing(uint value)
    {
        if (value == PostcopyDiscard.AheadPing)
        {
            _guestRunsOn = true;
        }
        else if (_guestRunsOn && IsDiscarding)
        {
            _guestRunsOn = false;
            NoteStop();
        }
    }

    /// <summary>
    /// Reads PACKAGED and the whole package before any of it is used, because the pages that its devices need follow it on this channel.
    /// </summary>
    /// <param name="earlySections">The device sections that came before.</param>
    /// <returns>The devices of the package.</returns>
    /// <exception cref="ChannelException">The package is malformed or larger than allowed, or the stream ends inside it.</exception>
    public DeviceState ReadPackage(byte[] earlySections)
    {
        stream.Fill(CommandHeader.Size + sizeof(uint), "PACKAGED");
        stream.Advance(CommandHeader.Size);
        var length = BinaryPrimitives.ReadUInt32BigEndian(stream.Peek(sizeof(uint)));
        if (length > maxPackageBytes)
        {
            throw new ChannelException(
                FailureReason.LimitExceeded, stream.Channel, $"a package of {length} bytes; allowed are {maxPackageBytes}");
        }

        stream.Advance(sizeof(uint));
        var package = new byte[Math.Min((int)length, PackageStep)];
        for (var filled = 0; filled < length; filled = package.Length)
        {
            if (filled > 0)
            {
                Array.Resize(ref package, (int)Math.Min(length, 2L * filled));
            }

            stream.ReadTo(package.AsSpan(filled), "the package");
        }

        return Open(package, earlySections);
    }

    private void NoteStop()
    {
        if (!_isStopNoted)
        {
            _isStopNoted = true;
            events!.OnStop(); // no DISCARD is read without it
        }
    }

    private void Discard(ReadOnlySpan<byte> payload, GuestMemory memory)
    {
        if (!PostcopyDiscard.TryRead(payload, out var discard, out var error))
        {
            throw stream.Malformed(error!);
        }

        if (!memory.TryGetBlock(discard.BlockName, out var block))
        {
            throw ChannelException.Violation(
                stream.Channel, $"unknown RAM block {WireName.Quote(discard.BlockName)}, before offset {stream.Position}");
        }

        if (!discard.TryCheckRanges(block.Length, events!.HostPageSizeOf(block), out error))
        {
            throw ChannelException.Violation(stream.Channel, $"block '{block.Name}': {error}, before offset {stream.Position}");
        }

        for (var i = 0; i < discard.RangeCount; i++)
        {
            var (start, bytes) = discard[i];
            events.OnDiscard(block, start >> TargetPage.Shift, bytes >> TargetPage.Shift);
        }
    }

    private DeviceState Open(byte[] package, byte[] earlySections)
    {
        if (!PostcopyPackage.TryRead(package, out var contents, out var error))
        {
            throw stream.Malformed(error!);
        }

        Pings = contents.Pings;
        PackageBytes = package.Length;
        return DeviceState.FromPackage(earlySections, package.AsMemory(contents.DevicesStart, contents.DevicesLength));
    }
}
