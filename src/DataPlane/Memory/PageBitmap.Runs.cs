using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DataPlane.Memory;

public sealed partial class PageBitmap
{
    /// <summary>
    /// Finds the next run of set bits at or after <paramref name="from"/>. To visit all runs, go on from <c>first + count</c>: a run longer
    /// than <paramref name="maxPages"/> then comes in pieces. Allocates nothing.
    /// </summary>
    /// <param name="from">Page at which the search begins: 0 to <see cref="PageCount"/>.</param>
    /// <param name="maxPages">Longest run to report, in pages; at least 1.</param>
    /// <param name="first">First page of the run; <see cref="PageCount"/> if there is none.</param>
    /// <param name="count">Pages in the run; 0 if there is none.</param>
    /// <returns>True if a run was found; false if no bit is set from <paramref name="from"/> on.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="from"/> or <paramref name="maxPages"/> is out of its range.
    /// </exception>
    public bool TryFindSetRun(long from, long maxPages, out long first, out long count)
    {
        if ((ulong)from > (ulong)PageCount)
        {
            ThrowRange(from, 0);
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(maxPages, 1);

        first = FindSet(from);
        if (first == PageCount)
        {
            count = 0;
            return false;
        }
        count = FindClear(first, Math.Min(maxPages, PageCount - first)) - first;
        return true;
    }

    // Returns the first set bit at or after `from`, or PageCount if there is none.
    private long FindSet(long from)
    {
        if (from == PageCount)
        {
            return PageCount;
        }

        var index = (int)(from >> WordShift);
        var word = _words[index] & (ulong.MaxValue << (int)from);
        if (word == 0)
        {
            index = SkipZeroWords(index + 1);
            if (index == _words.Length)
            {
                return PageCount;
            }

            word = _words[index];
        }
        return ((long)index << WordShift) + BitOperations.TrailingZeroCount(word);
    }

    // Returns the first clear bit after the set bit `from`, or from + limit if that comes first.
    private long FindClear(long from, long limit)
    {
        var end = from + limit;
        var index = (int)(from >> WordShift);
        var clear = ~_words[index] & (ulong.MaxValue << (int)from);
        while (clear == 0)
        {
            index++;
            if ((long)index << WordShift >= end)
            {
                return end;
            }

            clear = ~_words[index];
        }
        return Math.Min(end, ((long)index << WordShift) + BitOperations.TrailingZeroCount(clear));
    }

    // Returns the first non-zero word at or after `index`, or the number of words. Steps of 256 bytes (with 512-bit vectors) are as fast as
    // memory allows.
    private int SkipZeroWords(int index)
    {
        const int Step = 32;
        ref var words = ref MemoryMarshal.GetArrayDataReference(_words);
        if (Vector512.IsHardwareAccelerated)
        {
            for (; index <= _words.Length - Step; index += Step)
            {
                var at = (nuint)index;
                // SAFETY: at + 32 words are inside the array, by the loop's condition.
                var any = Vector512.LoadUnsafe(ref words, at) | Vector512.LoadUnsafe(ref words, at + 8)
                    | Vector512.LoadUnsafe(ref words, at + 16) | Vector512.LoadUnsafe(ref words, at + 24);
                if (any != Vector512<ulong>.Zero)
                {
                    break;
                }
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            for (; index <= _words.Length - Step / 2; index += Step / 2)
            {
                var at = (nuint)index;
                // SAFETY: at + 16 words are inside the array, by the loop's condition.
                var any = Vector256.LoadUnsafe(ref words, at) | Vector256.LoadUnsafe(ref words, at + 4)
                    | Vector256.LoadUnsafe(ref words, at + 8) | Vector256.LoadUnsafe(ref words, at + 12);
                if (any != Vector256<ulong>.Zero)
                {
                    break;
                }
            }
        }
        var rest = _words.AsSpan(index).IndexOfAnyExcept(0UL);
        return rest < 0 ? _words.Length : index + rest;
    }
}
