using System.Buffers;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>The source's ear: reads the destination's messages until its last word (specification, 2-main-stream section 4).</summary>
internal sealed class ReturnPathReader(StreamCursor stream)
{
    /// <summary>Reads until SHUT. True: the destination has taken the guest over.</summary>
    /// <exception cref="ChannelException">The return path ends without SHUT, or carries what it must not.</exception>
    public async Task<bool> ReadToShutAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await stream.RequireAsync(ReturnPathHeader.Size, "the return path, without the destination's word", cancellationToken).ConfigureAwait(false);
            for (long wanted = ReturnPathHeader.Size; ; wanted = stream.Buffered + 1)
            {
                await stream.RequireAsync(wanted, "a return path message", cancellationToken).ConfigureAwait(false);
                var status = ReturnPathMessage.Parse(stream.Peek(WireLimits.MaxReturnPathMessageBytes + ReturnPathHeader.Size), out var message, out var consumed, out var error);
                if (status == OperationStatus.InvalidData)
                {
                    throw stream.Malformed(error!);
                }

                if (status == OperationStatus.NeedMoreData)
                {
                    continue;
                }

                stream.Advance(consumed);
                if (message.Type == ReturnPathType.Shut)
                {
                    return message.Value == 0;
                }

                Handle(message);
                break;
            }
        }
    }

    private void Handle(ReturnPathMessage message)
    {
        switch (message.Type)
        {
            case ReturnPathType.Pong:
            case ReturnPathType.SwitchoverAck:
                break;
            default:
                throw ChannelException.Violation(stream.Channel, $"return path message {message.Type} in precopy");
        }
    }
}
