using System.Buffers.Binary;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <content>Commands between the sections (specification, 2-main-stream section 3).</content>
internal sealed partial class MainStreamReader
{
    private bool _returnPathOpen;
    private bool _adviseRead;

    private async ValueTask ReadCommandAsync(CancellationToken cancellationToken)
    {
        await _stream.RequireAsync(CommandHeader.Size, "a command", cancellationToken).ConfigureAwait(false);
        if (!CommandHeader.TryRead(_stream.Peek(CommandHeader.Size), out var command, out var error))
        {
            throw CommandHeader.IsColo(_stream.Peek(CommandHeader.Size))
                ? new ChannelException(
                    FailureReason.NotSupported, _stream.Channel,
                    "the source replicates its guest for ever instead of migrating it (COLO): turn off capability x-colo")
                : _stream.Malformed(error!);
        }

        switch (command.Type)
        {
            case CommandType.OpenReturnPath:
                // QEMU ignores a second OPEN_RETURN_PATH, too.
                if (!_returnPathOpen)
                {
                    _returnPathOpen = true;
                    await _events.OnReturnPathOpenedAsync(cancellationToken).ConfigureAwait(false);
                }

                break;
            case CommandType.Ping:
                await AnswerPingAsync(cancellationToken).ConfigureAwait(false);
                return;
            case CommandType.SwitchoverStart:
                break;
            case CommandType.PostcopyAdvise:
                await ReadAdviseAsync(command.Length, cancellationToken).ConfigureAwait(false);
                return;
            case CommandType.PostcopyRamDiscard:
                await ReadDiscardAsync(command.Length, cancellationToken).ConfigureAwait(false);
                return;
            case CommandType.Packaged:
                await ReadPackageAsync(cancellationToken).ConfigureAwait(false);
                return;
            default:
                throw new ChannelException(
                    FailureReason.NotSupported, _stream.Channel, $"command {command.Type} is not supported, at offset {_stream.Position}");
        }

        _stream.Advance(CommandHeader.Size);
    }

    private async ValueTask AnswerPingAsync(CancellationToken cancellationToken)
    {
        await _stream.RequireAsync(CommandHeader.Size + sizeof(uint), "a PING", cancellationToken).ConfigureAwait(false);
        _stream.Advance(CommandHeader.Size);
        var value = BinaryPrimitives.ReadUInt32BigEndian(_stream.Peek(sizeof(uint)));
        _stream.Advance(sizeof(uint));
        if (!_returnPathOpen)
        {
            throw _stream.Malformed("a PING without a return path");
        }

        OnPing(value);
        await _returnPath.SendPongAsync(value, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask ReadAdviseAsync(int length, CancellationToken cancellationToken)
    {
        await _stream.RequireAsync(CommandHeader.Size + length, "POSTCOPY_ADVISE", cancellationToken).ConfigureAwait(false);
        if (_ram.Started || _adviseRead)
        {
            throw _stream.Malformed("POSTCOPY_ADVISE out of place");
        }

        _stream.Advance(CommandHeader.Size);
        _adviseRead = true;
        if (length == 0)
        {
            return; // Such an ADVISE allows postcopy of dirty bitmaps only, and the block list is that of precopy.
        }

        if (!PostcopyAdvise.TryRead(_stream.Peek(PostcopyAdvise.Size), out var advise, out var error))
        {
            throw _stream.Malformed(error!);
        }

        _stream.Advance(PostcopyAdvise.Size);
        _ram.AdvisedPageSizes = advise.PageSizes;
        _options.Postcopy?.OnAdvise();
    }
}
