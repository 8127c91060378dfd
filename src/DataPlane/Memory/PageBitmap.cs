using System.Numerics;
using System.Runtime.CompilerServices;
using DataPlane.Memory;

namespace DataPlane;

/// <summary>
/// A bitmap with one bit per page. Bit i is bit i % 64 of word i / 64, so on a little-endian machine the bytes are those of QEMU's
/// mapped-ram bitmaps.
/// </summary>
/// <remarks>
/// Not thread-safe: while one thread changes a bitmap, no other may use it. Only the internal members named ...Atomic may be used by any
/// number of threads at the same time; concurrent readers then see each word either before or after a change.
/// </remarks>
public sealed class PageBitmap
{
    /// <summary>Largest number of pages that one bitmap can hold.</summary>
    internal const long MaxPages = int.MaxValue / 2 * 64L;

    private const int WordBits = 64;
    private const int WordShift = 6;

    // Bits beyond PageCount are always zero; every member relies on it.
    private readonly ulong[] _words;

    /// <summary>Creates a bitmap with all bits clear.</summary>
    /// <param name="pageCount">Number of pages: 0 to 68,719,476,672 (pages of 4 KiB: 256 TiB).</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="pageCount"/> is out of this range.</exception>
    public PageBitmap(long pageCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pageCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pageCount, MaxPages);
        PageCount = pageCount;
        _words = new ulong[(pageCount + WordBits - 1) >> WordShift];
    }

    /// <summary>Number of bits.</summary>
    public long PageCount { get; }

    /// <summary>
    /// Overwrites the words with bytes from elsewhere, and clears the bits beyond <see cref="PageCount"/>. Returns the result of
    /// <paramref name="fill"/>.
    /// </summary>
    /// <param name="fill">Fills the words, which it gets as bytes; returns false if it cannot.</param>
    internal bool TryFill(Func<Span<byte>, bool> fill)
    {
        var filled = fill(System.Runtime.InteropServices.MemoryMarshal.AsBytes(_words.AsSpan()));
        if (_words.Length > 0 && (PageCount & (WordBits - 1)) is var surplus and not 0)
        {
            _words[^1] &= (1UL << (int)surplus) - 1;
        }

        return filled;
    }

    /// <summary>The words of the bitmap, in which the bits from <see cref="PageCount"/> on are zero.</summary>
    internal ReadOnlySpan<ulong> Words => _words;

    /// <summary>Whether the bit of a page is set.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The page is not in the bitmap.</exception>
    public bool this[long page]
    {
        get
        {
            CheckPage(page);
            return (_words[page >> WordShift] & Bit(page)) != 0;
        }
    }

    /// <summary>Sets the bit of one page.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The page is not in the bitmap.</exception>
    public void Set(long page)
    {
        CheckPage(page);
        _words[page >> WordShift] |= Bit(page);
    }

    /// <summary>Clears the bit of one page.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The page is not in the bitmap.</exception>
    public void Clear(long page)
    {
        CheckPage(page);
        _words[page >> WordShift] &= ~Bit(page);
    }

    /// <summary>Sets <paramref name="count"/> bits from <paramref name="first"/> on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the bitmap.</exception>
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
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the bitmap.</exception>
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

    /// <summary>
    /// Sets <paramref name="count"/> bits from <paramref name="first"/> on, at the same time as other atomic members. Each word changes
    /// atomically, but the range as a whole does not.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the bitmap.</exception>
    /// <remarks>
    /// This is always a locked operation, even where the bits are set already. A plain read before it could overtake the caller's earlier
    /// write to the page, and if another thread took the old mark away in between, the new one would be lost.
    /// </remarks>
    internal void SetRangeAtomic(long first, long count)
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

    /// <summary>
    /// Clears <paramref name="count"/> bits from <paramref name="first"/> on, at the same time as other atomic members. Each word changes
    /// atomically, but the range as a whole does not.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the bitmap.</exception>
    internal void ClearRangeAtomic(long first, long count)
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

    /// <summary>
    /// Moves every set bit to <paramref name="target"/>, and returns the number of bits moved. Each word is read and cleared in one step.
    /// </summary>
    internal long TakeAtomic(PageBitmap target)
    {
        CheckSameSize(target);
        long moved = 0;
        for (var i = 0; i < _words.Length; i++)
        {
            // A mark that this read misses was not ordered before the call, so the next call finds it.
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

        first = WordSearch.FirstSet(_words, from);
        if (first < 0)
        {
            (first, count) = (PageCount, 0);
            return false;
        }

        count = WordSearch.FirstClear(_words, first, first + Math.Min(maxPages, PageCount - first)) - first;
        return true;
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
    /// <exception cref="ArgumentException">The sizes differ.</exception>
    public void UnionWith(PageBitmap other)
    {
        CheckSameSize(other);
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] |= other._words[i];
        }
    }

    /// <summary>Clears every bit that is set in <paramref name="other"/>, which must be of the same size.</summary>
    internal void ExceptWith(PageBitmap other)
    {
        CheckSameSize(other);
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] &= ~other._words[i];
        }
    }

    private static ulong Bit(long page) => 1UL << (int)page; // The shift uses only the low six bits of its count.

    private bool TrySplit(long first, long count, out WordRange range)
    {
        if ((ulong)first > (ulong)PageCount || (ulong)count > (ulong)(PageCount - first))
        {
            ThrowRange(first, count);
        }

        range = new WordRange(first, first + count - 1);
        return count != 0;
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

    /// <summary>A range of bits as words. The head mask selects the bits of the first word, and the tail mask those of the last.</summary>
    private readonly struct WordRange(long firstBit, long lastBit)
    {
        internal int First { get; } = (int)(firstBit >> WordShift);

        internal int Last { get; } = (int)(lastBit >> WordShift);

        internal ulong HeadMask { get; } = ulong.MaxValue << (int)firstBit;

        internal ulong TailMask { get; } = ulong.MaxValue >> ~(int)lastBit;

        internal ulong MaskOf(int word) => (word == First ? HeadMask : ulong.MaxValue) & (word == Last ? TailMask : ulong.MaxValue);
    }
}
