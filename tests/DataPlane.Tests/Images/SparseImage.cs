using DataPlane.Images;

namespace DataPlane.Tests.Images;

/// <summary>An image in memory of which only the written pieces exist; the rest reads as zero, as holes of a file do.</summary>
internal sealed class SparseImage : ImageBytes
{
    private readonly SortedDictionary<long, byte[]> _pieces = [];
    private long _length;

    public override long Length => _length;

    public SparseImage Write(long offset, ReadOnlySpan<byte> bytes)
    {
        _pieces[offset] = bytes.ToArray();
        _length = Math.Max(_length, offset + bytes.Length);
        return this;
    }

    public SparseImage Cut(long length)
    {
        _length = length;
        return this;
    }

    /// <summary>Changes bytes inside what was written.</summary>
    public SparseImage Patch(long offset, ReadOnlySpan<byte> bytes)
    {
        (var start, var piece) = _pieces.Last(p => p.Key <= offset);
        bytes.CopyTo(piece.AsSpan((int)(offset - start)));
        return this;
    }

    public override int Read(long offset, Span<byte> buffer)
    {
        var count = (int)Math.Clamp(_length - offset, 0, buffer.Length);
        buffer = buffer[..count];
        buffer.Clear();
        foreach ((var start, var piece) in _pieces)
        {
            long from = Math.Max(start, offset), to = Math.Min(start + piece.Length, offset + count);
            if (from < to)
            {
                piece.AsSpan((int)(from - start), (int)(to - from)).CopyTo(buffer[(int)(from - offset)..]);
            }
        }

        return count;
    }
}
