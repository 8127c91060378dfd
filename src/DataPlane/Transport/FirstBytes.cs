using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// Bytes that were read from a socket before it became a channel, and that are delivered before any other. One thread at a time uses it.
/// </summary>
internal sealed class FirstBytes
{
    private byte[] _bytes = [];
    private int _taken;

    /// <summary>Whether all of the bytes have been delivered, or there were none.</summary>
    public bool IsEmpty => _taken == _bytes.Length;

    /// <summary>Puts more bytes before those that are here; to be called before the first of them is taken.</summary>
    public void Prepend(ReadOnlySpan<byte> bytes) => _bytes = [.. bytes, .. _bytes];

    /// <summary>Delivers as many bytes as fit, and returns the rest of <paramref name="vectors"/>, which are changed in place.</summary>
    public Span<IoVec> Take(Span<IoVec> vectors, out int taken)
    {
        taken = 0;
        while (!vectors.IsEmpty && !IsEmpty)
        {
            var bytes = Take(vectors[0].AsSpan());
            vectors = IoVec.Advance(vectors, (nuint)bytes);
            taken += bytes;
        }

        return vectors;
    }

    /// <summary>Delivers as many bytes as fit, and returns their number.</summary>
    public int Take(Span<byte> target)
    {
        var bytes = Math.Min(_bytes.Length - _taken, target.Length);
        _bytes.AsSpan(_taken, bytes).CopyTo(target);
        _taken += bytes;
        return bytes;
    }
}
