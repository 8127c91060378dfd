using System.Buffers;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <summary>Reads and keeps the device sections that stand among the sections of ram.</summary>
/// <param name="stream">The main stream.</param>
/// <param name="maxBytes">The most bytes that these sections may have together.</param>
internal sealed class EarlySectionReader(StreamCursor stream, int maxBytes)
{
    /// <summary>
    /// Bytes in which the end of an early section is searched first; doubled while the end is not found. With many small sections,
    /// searching everything that is buffered for each of them would cost too much.
    /// </summary>
    private const int FirstLook = 1024;

    private readonly List<EarlySection> _sections = [];
    private long _bytes;

    /// <summary>The sections so far.</summary>
    public IReadOnlyList<EarlySection> Sections => _sections;

    /// <summary>Reads one section.</summary>
    /// <param name="hasMemory">
    /// Whether the guest's memory has been created. Before that the peer may be a stranger, so only little is kept for it, although more
    /// than any source sends.
    /// </param>
    /// <exception cref="ChannelException">The section has no end, or exceeds the limits.</exception>
    public void Read(bool hasMemory)
    {
        var scanned = new ArrayBufferWriter<byte>();
        long wanted = 1;
        for (var window = FirstLook; ;)
        {
            stream.Fill(wanted, "an early device section");
            scanned.ResetWrittenCount();
            stream.CopyAllTo(scanned, window);
            switch (EarlySection.Parse(scanned.WrittenSpan, out var section, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    Keep(section!, hasMemory);
                    stream.Advance(consumed);
                    return;
                case OperationStatus.InvalidData:
                    throw stream.Malformed(error!);
                case OperationStatus.NeedMoreData when scanned.WrittenCount < window:
                    wanted = scanned.WrittenCount + 1;
                    break;
                case OperationStatus.NeedMoreData when window < EarlySection.MaxSize:
                    window *= 2;
                    break;
                default:
                    throw stream.Malformed("an early device section without an end");
            }
        }
    }

    /// <summary>Joins all sections into one array.</summary>
    public byte[] Join()
    {
        var joined = new byte[_bytes];
        var at = 0;
        foreach (var section in _sections)
        {
            section.Bytes.CopyTo(joined, at);
            at += section.Bytes.Length;
        }

        return joined;
    }

    private void Keep(EarlySection section, bool hasMemory)
    {
        _sections.Add(section);
        _bytes += section.Bytes.Length;
        if (!hasMemory && (_sections.Count > WireLimits.MaxEarlySections || _bytes > WireLimits.MaxEarlyBytes))
        {
            throw stream.Malformed(
                $"{_sections.Count} device sections with {_bytes} bytes before the RAM; "
                + $"no source sends more than {WireLimits.MaxEarlySections} with {WireLimits.MaxEarlyBytes} bytes");
        }

        if (_sections.Count > WireLimits.MaxDevices || _bytes > maxBytes)
        {
            throw new ChannelException(
                FailureReason.LimitExceeded,
                stream.Channel,
                $"{_sections.Count} device sections with {_bytes} bytes among those of RAM; "
                    + $"allowed are {WireLimits.MaxDevices} with {maxBytes} bytes");
        }
    }
}
