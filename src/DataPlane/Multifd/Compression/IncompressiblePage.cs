using DataPlane.Memory;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Tells pages in which deflate would find nothing (encrypted, or compressed before) from a sample of their bytes, at 20 times the speed at
/// which it would find nothing.
/// </summary>
/// <remarks>
/// The measure is the sum of squared byte counts: least when all values are equally frequent. A page of even bytes that repeats an earlier
/// one is
/// taken for incompressible, too: it costs bytes on the wire, never correctness.
/// </remarks>
internal static class IncompressiblePage
{
    private const int SampleBytes = 1024;
    private const int FirstLook = 256;
    private const int PieceBytes = 64;
    private const int PieceStride = PieceBytes * TargetPage.Size / SampleBytes;

    // n + n(n-1)/256 is what even bytes give on average, the deviation is n/sqrt(128): six of them on top.
    private const int FirstLimit = FirstLook + (FirstLook * (FirstLook - 1) / 256) + (6 * FirstLook * 100 / 1131);
    private const int Limit = SampleBytes + (SampleBytes * (SampleBytes - 1) / 256) + (6 * SampleBytes * 100 / 1131);

    /// <param name="page">4096 bytes, which the guest may be writing.</param>
    public static unsafe bool Test(byte* page)
    {
        // Two tables: neighbouring bytes are often equal, and a counter cannot be incremented twice at the same time.
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
                // SAFETY: the last piece begins at 15 * 256 of the page's 4096 bytes; a byte indexes the 256 entries of a table.
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
