using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DataPlane.Memory;

/// <summary>Finds bits in words, where bit i is bit i % 64 of word i / 64. Allocates nothing.</summary>
internal static class WordSearch
{
    private const int WordShift = 6;

    /// <summary>Returns the first set bit at or after <paramref name="from"/>, or -1 if there is none.</summary>
    public static long FirstSet(ReadOnlySpan<ulong> words, long from)
    {
        var index = (int)(from >> WordShift);
        if (index == words.Length)
        {
            return -1;
        }

        var word = words[index] & (ulong.MaxValue << (int)from);
        if (word == 0)
        {
            index = SkipZeroWords(words, index + 1);
            if (index == words.Length)
            {
                return -1;
            }

            word = words[index];
        }

        return ((long)index << WordShift) + BitOperations.TrailingZeroCount(word);
    }

    /// <summary>
    /// Returns the first clear bit after the set bit <paramref name="from"/>, or <paramref name="end"/> if there is none before it.
    /// </summary>
    public static long FirstClear(ReadOnlySpan<ulong> words, long from, long end)
    {
        var index = (int)(from >> WordShift);
        var clear = ~words[index] & (ulong.MaxValue << (int)from);
        while (clear == 0)
        {
            index++;
            if ((long)index << WordShift >= end)
            {
                return end;
            }

            clear = ~words[index];
        }

        return Math.Min(end, ((long)index << WordShift) + BitOperations.TrailingZeroCount(clear));
    }

    // Returns the first non-zero word at or after `index`, or the number of words. Steps of 256 bytes (with 512-bit vectors) are as fast as
    // memory allows.
    private static int SkipZeroWords(ReadOnlySpan<ulong> span, int index)
    {
        const int Step = 32;
        ref var words = ref MemoryMarshal.GetReference(span);
        if (Vector512.IsHardwareAccelerated)
        {
            for (; index <= span.Length - Step; index += Step)
            {
                var at = (nuint)index;
                // SAFETY: at + 32 words are inside the span, by the loop's condition.
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
            for (; index <= span.Length - Step / 2; index += Step / 2)
            {
                var at = (nuint)index;
                // SAFETY: at + 16 words are inside the span, by the loop's condition.
                var any = Vector256.LoadUnsafe(ref words, at) | Vector256.LoadUnsafe(ref words, at + 4)
                    | Vector256.LoadUnsafe(ref words, at + 8) | Vector256.LoadUnsafe(ref words, at + 12);
                if (any != Vector256<ulong>.Zero)
                {
                    break;
                }
            }
        }

        var rest = span[index..].IndexOfAnyExcept(0UL);
        return rest < 0 ? span.Length : index + rest;
    }
}
