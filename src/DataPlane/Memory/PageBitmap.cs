using System.Numerics;
using System.Runtime.CompilerServices;

namespace DataPlane.Memory;

/// <summary>
/// One bit per page. Bit i is bit i % 64 of word i / 64, so on a little-endian machine the bytes are those of QEMU's mapped-ram bitmaps.
/// </summary>
/// <remarks>
/// Not thread-safe, except that any number of threads may use the members named ...Atomic at the same time, and readers beside them see
/// each word either before or after a change.
/// </remarks>
public sealed partial class PageBitmap
{
    /// <summary>Most pages that one bitmap can hold.</summary>
    public const long MaxPages = int.MaxValue / 2 * 64L;

    private const int WordBits = 64;
    private const int WordShift = 6;

    // Bits beyond PageCount are always zero; every member relies on it.
    private readonly ulong[] _words;

    /// <summary>All bits clear.</summary>
    /// <param name="pageCount">0 to <see cref="MaxPages"/>.</param>
    public PageBitmap(long pageCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pageCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pageCount, MaxPages);
        PageCount = pageCount;
        _words = new ulong[(pageCount + WordBits - 1) >> WordShift];
    }

    /// <summary>Number of bits.</summary>
    public long PageCount { get; }

    /// <summary>Takes the words from somewhere else; bits beyond <see cref="PageCount"/> are dropped.</summary>
    /// <param name="fill">Fills the words as bytes; returns false when it cannot.</param>
    internal bool TryFill(Func<Span<byte>, bool> fill)
    {
        var filled = fill(System.Runtime.InteropServices.MemoryMarshal.AsBytes(_words.AsSpan()));
        if (_words.Length > 0 && (PageCount & (WordBits - 1)) is var surplus and not 0)
        {
            _words[^1] &= (1UL << (int)surplus) - 1;
        }

        return filled;
    }

    /// <summary>The words; bits from <see cref="PageCount"/> on are zero.</summary>
    public ReadOnlySpan<ulong> Words => _words;

    /// <summary>Whether a page's bit is set.</summary>
    public bool this[long page]
    {
        get
        {
            CheckPage(page);
            return (_words[page >> WordShift] & Bit(page)) != 0;
        }
    }

    /// <summary>Sets one bit.</summary>
    public void Set(long page)
    {
        CheckPage(page);
        _words[page >> WordShift] |= Bit(page);
    }

    /// <summary>Clears one bit.</summary>
    public void Clear(long page)
    {
        CheckPage(page);
        _words[page >> WordShift] &= ~Bit(page);
    }

    /// <summary>Sets <paramref name="count"/> bits from <paramref name="first"/> on.</summary>
    public void SetRange(long first, long count)
    {
        if (!TrySplit(first, count, out var range))
        {
            return;
        }

        if (range.First == range.Last)
        {
            _words[range.First] |= range.HeadMask & range.TailMask;
            return;
        }
        _words[range.First] |= range.HeadMask;
        _words.AsSpan(range.First + 1, range.Last - range.First - 1).Fill(ulong.MaxValue);
        _words[range.Last] |= range.TailMask;
    }

    /// <summary>Clears <paramref name="count"/> bits from <paramref name="first"/> on.</summary>
    public void ClearRange(long first, long count)
    {
        if (!TrySplit(first, count, out var range))
        {
            return;
        }

        if (range.First == range.Last)
        {
            _words[range.First] &= ~(range.HeadMask & range.TailMask);
            return;
        }
        _words[range.First] &= ~range.HeadMask;
        _words.AsSpan(range.First + 1, range.Last - range.First - 1).Clear();
        _words[range.Last] &= ~range.TailMask;
    }

    /// <summary>Sets every bit.</summary>
    public void SetAll() => SetRange(0, PageCount);

    /// <summary>Clears every bit.</summary>
    public void ClearAll() => Array.Clear(_words);

    /// <summary>Like <see cref="SetRange"/>, safe against other atomic members; each word changes at once, the range does not.</summary>
    /// <remarks>
    /// Always a locked operation, also where the bits are set already: looking first would let the look overtake the caller's earlier
    /// write to the page, and a mark that somebody takes away in between would be lost.
    /// </remarks>
    public void SetRangeAtomic(long first, long count)
    {
        if (!TrySplit(first, count, out var range))
        {
            return;
        }

        for (var i = range.First; i <= range.Last; i++)
        {
            Interlocked.Or(ref _words[i], range.MaskOf(i));
        }
    }

    /// <summary>Like <see cref="ClearRange"/>, safe against other atomic members; each word changes at once, the range does not.</summary>
    public void ClearRangeAtomic(long first, long count)
    {
        if (!TrySplit(first, count, out var range))
        {
            return;
        }

        for (var i = range.First; i <= range.Last; i++)
        {
            Interlocked.And(ref _words[i], ~range.MaskOf(i));
        }
    }

    /// <summary>Moves every set bit to <paramref name="target"/>, each word read and cleared in one step; returns the bits moved.</summary>
    internal long TakeAtomic(PageBitmap target)
    {
        CheckSameSize(target);
        long moved = 0;
        for (var i = 0; i < _words.Length; i++)
        {
            // A mark that this look misses was not ordered before the call; the next call finds it.
            if (Volatile.Read(ref _words[i]) == 0)
            {
                continue;
            }

            var word = Interlocked.Exchange(ref _words[i], 0);
            target._words[i] |= word;
            moved += BitOperations.PopCount(word);
        }
        return moved;
    }

    /// <summary>Number of set bits.</summary>
    public long CountSet()
    {
        long count = 0;
        foreach (var word in _words)
        {
            count += BitOperations.PopCount(word);
        }

        return count;
    }

    /// <summary>Sets every bit that is set in <paramref name="other"/>, which must be of the same size.</summary>
    public void UnionWith(PageBitmap other)
    {
        CheckSameSize(other);
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] |= other._words[i];
        }
    }

    /// <summary>Makes this equal to <paramref name="other"/>, which must be of the same size.</summary>
    public void CopyFrom(PageBitmap other)
    {
        CheckSameSize(other);
        other._words.CopyTo(_words, 0);
    }

    private static ulong Bit(long page) => 1UL << (int)page; // the shift takes the low six bits

    private bool TrySplit(long first, long count, out WordRange range)
    {
        if ((ulong)first > (ulong)PageCount || (ulong)count > (ulong)(PageCount - first))
        {
            ThrowRange(first, count);
        }

        range = new WordRange(first, first + count - 1);
        return count != 0;
    }

    /// <summary>Clears every bit that is set in another bitmap of as many pages.</summary>
    internal void ExceptWith(PageBitmap other)
    {
        CheckSameSize(other);
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] &= ~other._words[i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CheckPage(long page)
    {
        if ((ulong)page >= (ulong)PageCount)
        {
            ThrowRange(page, 1);
        }
    }

    private void CheckSameSize(PageBitmap other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (other.PageCount != PageCount)
        {
            throw new ArgumentException($"A bitmap of {other.PageCount} pages does not match one of {PageCount}.", nameof(other));
        }
    }

    [System.Diagnostics.CodeAnalysis.DoesNotReturn]
    private void ThrowRange(long first, long count)
        => throw new ArgumentOutOfRangeException(nameof(first), $"{count} pages from {first} are not inside {PageCount}.");

    /// <summary>A range of bits as words: the bits of the first word from the head mask, of the last from the tail mask.</summary>
    private readonly struct WordRange(long firstBit, long lastBit)
    {
        internal int First { get; } = (int)(firstBit >> WordShift);

        internal int Last { get; } = (int)(lastBit >> WordShift);

        internal ulong HeadMask { get; } = ulong.MaxValue << (int)firstBit;

        internal ulong TailMask { get; } = ulong.MaxValue >> ~(int)lastBit;

        internal ulong MaskOf(int word) => (word == First ? HeadMask : ulong.MaxValue) & (word == Last ? TailMask : ulong.MaxValue);
    }
}
