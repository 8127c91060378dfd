namespace DataPlane.Fuzz;

/// <summary>
/// A run with the oracle that all targets share: memory is bounded by limits and by what has arrived, never by what is announced.
/// </summary>
internal static class FuzzRun
{
    /// <summary>Growing buffers, pieces and texts of an input.</summary>
    public const int BytesPerInputByte = 64;

    public static bool Once(IFuzzTarget target, ReadOnlySpan<byte> input)
    {
        input = input[..Math.Min(input.Length, target.MaxInputBytes)];
        var before = GC.GetAllocatedBytesForCurrentThread();
        var accepted = target.Run(input);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        var limit = target.MaxAllocatedBytes + ((long)input.Length * BytesPerInputByte);
        if (allocated > limit)
        {
            throw new OracleException($"{input.Length} bytes of input made the reader allocate {allocated} bytes, allowed are {limit}");
        }

        return accepted;
    }
}
