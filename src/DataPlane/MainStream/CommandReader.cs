using System.Buffers.Binary;
using DataPlane.MainStream.Devices;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>Reads the commands between the sections of precopy (specification, 2-main-stream section 3).</summary>
/// <param name="stream">The main stream.</param>
/// <param name="returnPath">Answers PINGs.</param>
/// <param name="options">Says whether postcopy may come.</param>
/// <param name="events">Hears of the return path.</param>
/// <param name="early">Has the device sections that came before a package.</param>
internal sealed class CommandReader(
    StreamCursor stream, ReturnPathSender returnPath, MainStreamOptions options, IMainStreamEvents events, EarlySectionReader early)
{
    private bool _adviseRead;

    /// <summary>Reads the commands of a switch to postcopy.</summary>
    public SwitchReader Switch { get; } = new(stream, options.Postcopy, options.MaxDeviceStateBytes);

    /// <summary>Whether the source has opened the return path.</summary>
    public bool IsReturnPathOpen { get; private set; }

    /// <summary>The page sizes of a 16-byte ADVISE, combined with OR; 0 without such an ADVISE.</summary>
    public ulong AdvisedPageSizes { get; private set; }

    /// <summary>Reads one command. Returns the devices in the package of postcopy, and null after any other command.</summary>
    /// <param name="memory">The guest's memory; null before the list of RAM blocks.</param>
    /// <exception cref="ChannelException">The command is malformed, not supported or out of place.</exception>
    public DeviceState? Read(GuestMemory? memory)
    {
        stream.Fill(CommandHeader.Size, "a command");
        if (CommandHeader.IsColo(stream.Peek(CommandHeader.Size)))
        {
            throw new ChannelException(
                FailureReason.NotSupported, stream.Channel,
                "the source replicates its guest for ever instead of migrating it (COLO): turn off capability x-colo");
        }

        var command = stream.ParseCommand();
        switch (command.Type)
        {
            case CommandType.OpenReturnPath:
                OpenReturnPath();
                break;
            case CommandType.Ping:
                AnswerPing();
                return null;
            case CommandType.SwitchoverStart:
                break;
            case CommandType.PostcopyAdvise:
                ReadAdvise(command.Length, memory);
                return null;
            case CommandType.PostcopyRamDiscard:
                Switch.ReadDiscard(command.Length, RequirePostcopy(command.Type, memory));
                return null;
            case CommandType.Packaged:
                RequirePostcopy(command.Type, memory);
                return Switch.ReadPackage(early.Join());
            default:
                throw new ChannelException(
                    FailureReason.NotSupported, stream.Channel, $"command {command.Type} is not supported, at offset {stream.Position}");
        }

        stream.Advance(CommandHeader.Size);
        return null;
    }

    private void OpenReturnPath()
    {
        // QEMU ignores a second OPEN_RETURN_PATH, too.
        if (!IsReturnPathOpen)
        {
            IsReturnPathOpen = true;
            Blocking.Wait(events.OnReturnPathOpenedAsync(stream.Cancellation));
        }
    }

    private void AnswerPing()
    {
        stream.Fill(CommandHeader.Size + sizeof(uint), "a PING");
        stream.Advance(CommandHeader.Size);
        var value = BinaryPrimitives.ReadUInt32BigEndian(stream.Peek(sizeof(uint)));
        stream.Advance(sizeof(uint));
        if (!IsReturnPathOpen)
        {
            throw stream.Malformed("a PING without a return path");
        }

        Switch.OnPing(value);
        returnPath.SendPong(value, cancellationToken: stream.Cancellation);
    }

    private void ReadAdvise(int length, GuestMemory? memory)
    {
        stream.Fill(CommandHeader.Size + length, "POSTCOPY_ADVISE");
        if (memory is not null || _adviseRead)
        {
            throw stream.Malformed("POSTCOPY_ADVISE out of place");
        }

        stream.Advance(CommandHeader.Size);
        _adviseRead = true;
        if (length == 0)
        {
            return; // Such an ADVISE allows postcopy of dirty bitmaps only, and the block list is that of precopy.
        }

        if (!PostcopyAdvise.TryRead(stream.Peek(PostcopyAdvise.Size), out var advise, out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(PostcopyAdvise.Size);
        AdvisedPageSizes = advise.PageSizes;
        options.Postcopy?.OnAdvise();
    }

    /// <summary>Returns the guest's memory if <paramref name="command"/> may come now.</summary>
    private GuestMemory RequirePostcopy(CommandType command, GuestMemory? memory)
    {
        if (options.Postcopy is null)
        {
            throw new ChannelException(
                FailureReason.NotSupported, stream.Channel,
                $"command {command}: postcopy is not expected here, at offset {stream.Position}");
        }

        return AdvisedPageSizes != 0 && memory is not null && IsReturnPathOpen
            ? memory
            : throw stream.Malformed($"command {command} without return path, advice or list of RAM blocks");
    }
}
