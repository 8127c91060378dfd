using System.Buffers;
using DataPlane.MainStream.Devices;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <content>Reads the device sections that stand among the sections of ram, and the device state after them.</content>
internal sealed partial class MainStreamReader
{
    /// <summary>
    /// Bytes in which the end of an early section is searched first; doubled while the end is not found. With many small sections,
    /// searching everything that is buffered for each of them would cost too much.
    /// </summary>
    private const int FirstLook = 1024;

    private readonly List<EarlySection> _earlySections = [];
    private long _earlyBytes;

    private async ValueTask ReadEarlySectionAsync(CancellationToken cancellationToken)
    {
        var scanned = new ArrayBufferWriter<byte>();
        long wanted = 1;
        for (var window = FirstLook; ;)
        {
            await _stream.RequireAsync(wanted, "an early device section", cancellationToken).ConfigureAwait(false);
            scanned.ResetWrittenCount();
            _stream.CopyAllTo(scanned, window);
            switch (EarlySection.Parse(scanned.WrittenSpan, out var section, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    KeepEarlySection(section!);
                    _stream.Advance(consumed);
                    return;
                case OperationStatus.InvalidData:
                    throw _stream.Malformed(error!);
                case OperationStatus.NeedMoreData when scanned.WrittenCount < window:
                    wanted = scanned.WrittenCount + 1;
                    break;
                case OperationStatus.NeedMoreData when window < EarlySection.MaxSize:
                    window *= 2;
                    break;
                default:
                    throw _stream.Malformed("an early device section without an end");
            }
        }
    }

    /// <summary>
    /// Keeps an early section. Before the guest's memory is created the peer may be a stranger, so only little is kept for it, although
    /// more than any source sends.
    /// </summary>
    private void KeepEarlySection(EarlySection section)
    {
        _earlySections.Add(section);
        _earlyBytes += section.Bytes.Length;
        if (!_ram.Started && (_earlySections.Count > WireLimits.MaxEarlySections || _earlyBytes > WireLimits.MaxEarlyBytes))
        {
            throw _stream.Malformed(
                $"{_earlySections.Count} device sections with {_earlyBytes} bytes before the RAM; "
                + $"no source sends more than {WireLimits.MaxEarlySections} with {WireLimits.MaxEarlyBytes} bytes");
        }

        if (_earlySections.Count > WireLimits.MaxDevices || _earlyBytes > _options.MaxDeviceStateBytes)
        {
            throw new ChannelException(
                FailureReason.LimitExceeded,
                _stream.Channel,
                $"{_earlySections.Count} device sections with {_earlyBytes} bytes among those of RAM; "
                    + $"allowed are {WireLimits.MaxDevices} with {_options.MaxDeviceStateBytes} bytes");
        }
    }

    /// <summary>Joins all early sections into one array.</summary>
    private byte[] JoinEarlySections()
    {
        var joined = new byte[_earlyBytes];
        var at = 0;
        foreach (var section in _earlySections)
        {
            section.Bytes.CopyTo(joined, at);
            at += section.Bytes.Length;
        }

        return joined;
    }

    /// <summary>Collects everything after the END of ram until the splitter finds the end of the VM description.</summary>
    private async ValueTask<DeviceState> ReadDeviceStateAsync(CancellationToken cancellationToken)
    {
        var splitter = new DeviceStateSplitter(_options.MaxDeviceStateBytes, _earlySections);
        var bytes = new ArrayBufferWriter<byte>(64 * 1024);
        while (true)
        {
            var more = await _stream.FillAsync(1, cancellationToken).ConfigureAwait(false);
            _stream.DrainTo(bytes, _options.MaxDeviceStateBytes - bytes.WrittenCount);
            switch (splitter.TryFinish(bytes.WrittenSpan, endOfStream: !more, out _, out var state, out var error))
            {
                case OperationStatus.Done:
                    return state!;
                case OperationStatus.InvalidData when more:
                    throw _stream.Malformed(error!);
                case OperationStatus.InvalidData:
                    throw new ChannelException(
                        FailureReason.PeerClosed, _stream.Channel, $"the stream ended inside the device state: {error}");
            }

            if (bytes.WrittenCount >= _options.MaxDeviceStateBytes)
            {
                throw new ChannelException(
                    FailureReason.LimitExceeded,
                    _stream.Channel,
                    $"the device state is larger than the limit of {_options.MaxDeviceStateBytes} bytes");
            }
        }
    }
}
