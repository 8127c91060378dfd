using System.Buffers.Binary;

namespace DataPlane.TestSupport;

/// <summary>
/// Reads one direction of a plain main channel as it passes, and says at which byte each record begins before that byte is passed on. Knows
/// what QEMU sends up to the package and after it; where it meets anything else it passes on without a word.
/// </summary>
internal abstract class FaultScan
{
    private long _position;
    private long _skip;
    private bool _isBlind;

    /// <summary>Told of each record: its name, its number, and the offset of its first byte, which is still here.</summary>
    internal Action<string, uint, long> OnRecord { get; set; } = static (_, _, _) => { };

    internal static FaultScan MainStream() => new FaultScanMain();

    internal static FaultScan ReturnPath() => new FaultScanReturnPath();

    /// <summary>
    /// How many of these bytes may be passed on; the others begin something that cannot be told yet, and are given again with more.
    /// </summary>
    internal int Take(ReadOnlySpan<byte> bytes)
    {
        var taken = 0;
        while (taken < bytes.Length)
        {
            if (_isBlind)
            {
                return bytes.Length;
            }

            var step = (int)Math.Min(_skip, bytes.Length - taken);
            _skip -= step;
            if (step == 0)
            {
                step = Next(bytes[taken..]);
                if (step == 0 && !_isBlind)
                {
                    return taken;
                }
            }

            taken += step;
            _position += step;
        }

        return taken;
    }

    /// <summary>Takes one element, or its beginning when <see cref="Skip"/> takes care of the rest. 0: more is needed.</summary>
    protected abstract int Next(ReadOnlySpan<byte> bytes);

    protected void Tell(string record, uint value = 0) => OnRecord(record, value, _position);

    /// <summary>So many bytes after those of this element say nothing.</summary>
    protected void Skip(long count) => _skip = count;

    protected int GoBlind()
    {
        _isBlind = true;
        return 0;
    }

    protected static uint U32(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32BigEndian(bytes);

    protected static ushort U16(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt16BigEndian(bytes);
}
