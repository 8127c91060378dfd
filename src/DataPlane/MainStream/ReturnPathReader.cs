using System.Buffers;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>Reads the destination's messages at the source until SHUT, the last of them (specification, 2-main-stream section 4).</summary>
/// <param name="stream">The receiving direction of the main channel.</param>
/// <param name="onPong">Called with the value of every PONG.</param>
/// <param name="onVmStarted">Called when the destination reports that its guest runs.</param>
/// <param name="ifSilent">Text for the error message: what it may mean when the return path ends before its first message.</param>
internal sealed class ReturnPathReader(StreamCursor stream, Action<uint> onPong, Action onVmStarted, string ifSilent)
{
    private string WithoutShut =>
        $"without SHUT{(stream.Position > 0 ? "" : $", before it answered anything: {ifSilent}")}; its own log says why";

    /// <summary>Reads until SHUT and returns its value, which is 0 if the destination has taken the guest over.</summary>
    /// <exception cref="ChannelException">
    /// The return path ends without SHUT, or carries a message that is not allowed in precopy.
    /// </exception>
    public async Task<uint> ReadToShutAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                // Only the beginning of the next message can be buffered here, so an end at this point means that the destination has
                // closed without SHUT.
                if (!await stream.FillAsync(1, cancellationToken).ConfigureAwait(false))
                {
                    throw new ChannelException(FailureReason.PeerClosed, stream.Channel,
                        $"the destination closed the return path {WithoutShut}");
                }

                if (await ReadMessageAsync(cancellationToken).ConfigureAwait(false) is { } shut)
                {
                    return shut;
                }
            }
        }
        catch (ChannelException failure) when (failure.Reason == FailureReason.PeerReset)
        {
            throw new ChannelException(failure.Reason, stream.Channel,
                $"the destination broke the return path off {WithoutShut}", failure);
        }
    }

    /// <summary>Reads one message. Returns the value of SHUT, and null for any other message.</summary>
    private async ValueTask<uint?> ReadMessageAsync(CancellationToken cancellationToken)
    {
        for (long wanted = ReturnPathHeader.Size; ; wanted = stream.Buffered + 1)
        {
            await stream.RequireAsync(wanted, "a return path message", cancellationToken).ConfigureAwait(false);
            var status = ReturnPathMessage.Parse(stream.Peek(WireLimits.MaxReturnPathMessageBytes + ReturnPathHeader.Size),
                out var message, out var consumed, out var error);
            if (status == OperationStatus.InvalidData)
            {
                throw stream.Malformed(error!);
            }

            if (status == OperationStatus.NeedMoreData)
            {
                continue;
            }

            var (type, value) = (message.Type, message.Value);
            stream.Advance(consumed);
            return Handle(type, value);
        }
    }

    private uint? Handle(ReturnPathType type, uint value)
    {
        switch (type)
        {
            case ReturnPathType.Shut:
                return value;
            case ReturnPathType.Pong:
                onPong(value);
                return null;
            case ReturnPathType.VmStarted:
                onVmStarted();
                return null;
            case ReturnPathType.SwitchoverAck:
                return null;
            default:
                throw ChannelException.Violation(stream.Channel, $"return path message {type} in precopy");
        }
    }
}
