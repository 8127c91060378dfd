using System.Buffers;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>The source's ear: reads the destination's messages until its last word (specification, 2-main-stream section 4).</summary>
/// <param name="stream">The main channel, as it comes back.</param>
/// <param name="onPong">Told the value of every PONG.</param>
/// <param name="onVmStarted">Told that the destination says its guest runs.</param>
/// <param name="ifSilent">What it may mean when it ends before its first message.</param>
internal sealed class ReturnPathReader(StreamCursor stream, Action<uint> onPong, Action onVmStarted, string ifSilent)
{
    private string WithoutWord =>
        $"without its word (SHUT){(stream.Position > 0 ? "" : $", before it answered anything: {ifSilent}")}; its own log says why";

    /// <summary>Reads until SHUT; returns its value: 0 when the destination has taken the guest over.</summary>
    /// <exception cref="ChannelException">The return path ends without SHUT, or carries what it must not.</exception>
    public async Task<uint> ReadToShutAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                // Nothing is buffered here but the beginning of the next message: an end at this point is a destination that closes without
                // a word.
                if (!await stream.FillAsync(1, cancellationToken).ConfigureAwait(false))
                {
                    throw new ChannelException(FailureReason.PeerClosed, stream.Channel,
                        $"the destination closed the return path {WithoutWord}");
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
                $"the destination broke the return path off {WithoutWord}", failure);
        }
    }

    /// <summary>Reads one message; returns the value of SHUT, null for others.</summary>
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
