using System.Buffers;
using DataPlane.Transport;

namespace DataPlane.MainStream.Devices;

/// <summary>Reads the device state after the END of ram.</summary>
internal static class DeviceStateReader
{
    /// <summary>Collects everything that follows until the splitter finds the end of the VM description.</summary>
    /// <param name="stream">The main stream.</param>
    /// <param name="maxBytes">The most bytes that the state with its description may have.</param>
    /// <param name="early">The device sections that came before.</param>
    /// <exception cref="ChannelException">The state is malformed or larger than allowed, or the stream ends inside it.</exception>
    public static DeviceState Read(StreamCursor stream, int maxBytes, IReadOnlyList<EarlySection> early)
    {
        var splitter = new DeviceStateSplitter(maxBytes, early);
        var bytes = new ArrayBufferWriter<byte>(64 * 1024);
        while (true)
        {
            var more = stream.TryFill(1);
            stream.DrainTo(bytes, maxBytes - bytes.WrittenCount);
            switch (splitter.TryFinish(bytes.WrittenSpan, endOfStream: !more, out _, out var state, out var error))
            {
                case OperationStatus.Done:
                    return state!;
                case OperationStatus.InvalidData when more:
                    throw stream.Malformed(error!);
                case OperationStatus.InvalidData:
                    throw new ChannelException(
                        FailureReason.PeerClosed, stream.Channel, $"the stream ended inside the device state: {error}");
            }

            if (bytes.WrittenCount >= maxBytes)
            {
                throw new ChannelException(
                    FailureReason.LimitExceeded,
                    stream.Channel,
                    $"the device state is larger than the limit of {maxBytes} bytes");
            }
        }
    }
}
