using System.Buffers;
using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <summary>
/// Finds the end of the device state in a stream that arrives in pieces. Device sections carry no length, but the description that follows
/// them does, and it lists the sections:
/// <code>
/// device sections ... | 00 | 06 | u32 n | n bytes of JSON, beginning with {"
/// </code>
/// Device state may contain such bytes by chance or malice, so a place that looks like a description is accepted only if its JSON describes
/// exactly the sections before it. JSON contains no NUL, so the first NUL inside a supposed description disproves it. Therefore at most one
/// description is waited for at any time, and every byte is looked at a small constant number of times whatever the peer sends.
/// </summary>
internal sealed class DeviceStateSplitter
{
    /// <summary>Default limit of the device state in bytes: as much as QEMU accepts in one package.</summary>
    public const int DefaultMaxBytes = 1 << 30;

    private const int HeadSize = 1 + VmDescriptionHeader.Size;

    /// <summary>A shorter text cannot describe a device.</summary>
    private const int MinDescriptionBytes = 16;

    /// <summary>
    /// Largest number of walks by names, each of which reads everything. Only a description that ends with the last byte received gets one.
    /// A peer that pauses after each of thousands of false descriptions must not cause thousands of walks.
    /// </summary>
    private const int MaxNameWalks = 16;

    private readonly int _maxBytes;
    private readonly IReadOnlyList<EarlySection> _early;
    private int _position;
    private int _cleanTo;
    private int _nameWalks;
    private string? _mismatch;

    /// <param name="maxBytes">Limit of the device state with its description, in bytes.</param>
    /// <param name="earlySections">The early sections received before the END of RAM, with which the description begins.</param>
    public DeviceStateSplitter(int maxBytes = DefaultMaxBytes, IReadOnlyList<EarlySection>? earlySections = null)
    {
        _maxBytes = maxBytes;
        _early = earlySections ?? [];
    }

    /// <summary>Looks for the end of the device state in what has arrived since the last call.</summary>
    /// <param name="bytes">Everything after the last RAM section's footer, from its first byte on, in every call.</param>
    /// <param name="endOfStream">True if no more bytes will come, or the source has been silent for longer than it may.</param>
    /// <param name="consumed">With Done, the number of bytes up to the end of the description.</param>
    /// <param name="state">With Done, the device state, which holds copies of the bytes.</param>
    /// <param name="error">With InvalidData, what is wrong, with the device that did not fit.</param>
    public OperationStatus TryFinish(
        ReadOnlySpan<byte> bytes, bool endOfStream, out int consumed, out DeviceState? state, out string? error)
    {
        consumed = 0;
        state = null;
        error = null;
        if (bytes.Length > _maxBytes)
        {
            error = $"the device state has more than {_maxBytes} bytes";
        }
        else if (!bytes.IsEmpty && bytes[0] is not ((byte)SectionType.Full or (byte)SectionType.EndOfFile))
        {
            error = $"byte {bytes[0]:X2} instead of a device section (04) after the RAM";
        }

        if (error is not null)
        {
            return OperationStatus.InvalidData;
        }

        while (TryFindDescription(bytes, out var sections, out var description))
        {
            var end = sections.Length + HeadSize + description.Length;
            if (TrySplit(sections, description, isLast: end == bytes.Length, out state))
            {
                consumed = end;
                return OperationStatus.Done;
            }

            _position++;
        }

        if (!endOfStream)
        {
            return OperationStatus.NeedMoreData;
        }

        if (EndsWithEmptyDescription(bytes))
        {
            consumed = bytes.Length;
            state = Keep(bytes[..^(HeadSize + 2)], bytes[^2..], []);
            return OperationStatus.Done;
        }

        error = DescribeEnd(bytes);
        return OperationStatus.InvalidData;
    }

    /// <summary>
    /// Whether the stream may be complete except for a description that the source does not send (suppress-vmdesc). With a return path such
    /// a source then waits for ever; without one the stream ends here.
    /// </summary>
    public static bool LacksDescription(ReadOnlySpan<byte> bytes) =>
        bytes is [(byte)SectionType.EndOfFile] or [.., (byte)SectionType.Footer, _, _, _, _, (byte)SectionType.EndOfFile];

    /// <summary>
    /// Whether the stream ends with the empty description that a sender without one sends. It marks the end only because nothing follows
    /// it.
    /// </summary>
    private static bool EndsWithEmptyDescription(ReadOnlySpan<byte> bytes) =>
        bytes is [.., (byte)SectionType.Footer, _, _, _, _, 0, 6, 0, 0, 0, 2, (byte)'{', (byte)'}'];

    /// <summary>Finds the next complete description at or after the position, and moves the position to its first byte.</summary>
    private bool TryFindDescription(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> sections, out ReadOnlySpan<byte> description)
    {
        sections = default;
        description = default;
        while (TryFindHead(bytes, out var length))
        {
            var start = _position + HeadSize;
            var available = Math.Min(length, bytes.Length - start);
            var from = Math.Clamp(_cleanTo, start, start + available);
            if (bytes[from..(start + available)].Contains((byte)0))
            {
                _position++;
                continue;
            }

            _cleanTo = start + available;
            if (available < length)
            {
                return false;
            }

            sections = bytes[.._position];
            description = bytes.Slice(start, length);
            return true;
        }

        return false;
    }

    /// <summary>Moves to the next <c>00 06 u32 {"</c> with a plausible length. At the very start any description is accepted.</summary>
    private bool TryFindHead(ReadOnlySpan<byte> bytes, out int length)
    {
        length = 0;
        while (true)
        {
            var distance = bytes[_position..].IndexOf([(byte)SectionType.EndOfFile, (byte)SectionType.VmDescription]);
            if (distance < 0)
            {
                // The last byte may be the first of the two bytes of the pattern.
                _position = Math.Max(_position, bytes.Length - 1);
                return false;
            }

            _position += distance;
            var head = bytes[_position..];
            if (head.Length < HeadSize + 2)
            {
                return false;
            }

            var announced = BinaryPrimitives.ReadUInt32BigEndian(head[2..]);
            var isHead = _position == 0
                ? announced >= 2 && head[HeadSize] == '{'
                : announced >= MinDescriptionBytes && head[HeadSize] == '{' && head[HeadSize + 1] == '"';
            if (isHead && announced <= WireLimits.MaxVmDescriptionBytes)
            {
                length = (int)announced;
                return true;
            }

            _position++;
        }
    }

    private bool TrySplit(ReadOnlySpan<byte> sections, ReadOnlySpan<byte> json, bool isLast, out DeviceState? state)
    {
        state = null;
        if (!VmDescription.TryParse(json, out var description, out _))
        {
            return false;
        }

        IReadOnlyList<VmDescriptionDevice> devices = [.. description!.Devices.Skip(CountEarly(description.Devices))];
        if (!DeviceSectionWalk.TryBySizes(sections, devices, out var found, out var mismatch)
            && !(isLast && _nameWalks++ < MaxNameWalks && DeviceSectionWalk.TryByNames(sections, devices, out found, out _)))
        {
            _mismatch = mismatch;
            return false;
        }

        state = Keep(sections, json, found);
        return true;
    }

    private int CountEarly(IReadOnlyList<VmDescriptionDevice> devices)
    {
        var count = 0;
        while (count < _early.Count && count < devices.Count
            && devices[count].Name == _early[count].Name && devices[count].Instance == _early[count].Instance)
        {
            count++;
        }

        return count;
    }

    private DeviceState Keep(ReadOnlySpan<byte> sections, ReadOnlySpan<byte> description, IReadOnlyList<DeviceSection> devices) =>
        new(_early.SelectMany(e => e.Bytes).ToArray(), sections.ToArray(), description.ToArray(), devices);

    private string DescribeEnd(ReadOnlySpan<byte> bytes)
    {
        if (_mismatch is not null)
        {
            return $"the device state does not fit its description: {_mismatch}";
        }

        if (LacksDescription(bytes))
        {
            return "the source sends no VM description; turn off suppress-vmdesc there";
        }

        return $"the stream ended inside the device state, after {bytes.Length} bytes of it";
    }
}
