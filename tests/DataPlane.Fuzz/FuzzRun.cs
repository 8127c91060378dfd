namespace DataPlane.Fuzz;

/// <summary>A run with the oracle that all targets share: memory is bounded by limits and by what has arrived, never by what is announced.</summary>
internal static class FuzzRun
{
    /// <summary>Growing buffers, pieces and texts of an input; measured at most about 20 for the readers that keep what they read.</summary>
    public const int BytesPerInputByte = 64;

    public static void Once(IFuzzTarget target, ReadOnlySpan<byte> input)
    {
        input = input[..Math.Min(input.Length, target.MaxInputBytes)];
        long before = GC.GetAllocatedBytesForCurrentThread();
        target.Run(input);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        long limit = target.MaxAllocatedBytes + ((long)input.Length * BytesPerInputByte);
        if (allocated > limit)
            throw new OracleException($"{target.Name}: {input.Length} bytes made it allocate {allocated} bytes, allowed are {limit}");
    }
}
