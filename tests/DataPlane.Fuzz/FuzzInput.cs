namespace DataPlane.Fuzz;

/// <summary>Takes choices (which codec, which options, which pieces) off the front of an input; what is missing is 0.</summary>
internal ref struct FuzzInput(ReadOnlySpan<byte> bytes)
{
    /// <summary>What no choice has taken: the bytes to read.</summary>
    public ReadOnlySpan<byte> Rest { get; private set; } = bytes;

    public byte Byte()
    {
        if (Rest.IsEmpty)
        {
            return 0;
        }

        var value = Rest[0];
        Rest = Rest[1..];
        return value;
    }

    public int Word() => (Byte() << 8) | Byte();

    /// <summary>A copy of the next bytes, of fewer where there are no more.</summary>
    public byte[] Take(int count)
    {
        var taken = Rest[..Math.Min(count, Rest.Length)].ToArray();
        Rest = Rest[taken.Length..];
        return taken;
    }

    /// <summary>0 to <paramref name="count"/> - 1.</summary>
    public int Choice(int count) => Byte() % count;
}
