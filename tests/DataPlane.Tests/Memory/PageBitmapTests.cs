using CsCheck;
using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class PageBitmapTests
{
    // Sizes around words and vector steps, and some that span many of them.
    private static readonly Gen<long> s_pageCount = Gen.OneOf(
        Gen.Long[0, 200], Gen.Long[2040, 2060], Gen.Long[4000, 9000], Gen.Const(64L), Gen.Const(2048L), Gen.Const(4096L));

    private enum Op
    {
        Set, Clear, SetRange, ClearRange, SetRangeAtomic, ClearRangeAtomic, SetAll, ClearAll,
    }

    [Fact]
    public void Every_operation_matches_an_array_of_flags()
    {
        // All = rare, so that maps are neither always full nor always empty.
        var op = Gen.Frequency((20, Gen.Enum<Op>()), (1, Gen.OneOf(Gen.Const(Op.SetAll), Gen.Const(Op.ClearAll))));
        var cases = Gen.Select(s_pageCount, Gen.Select(op, Gen.Double.Unit, Gen.Double.Unit).Array[0, 40]);
        cases.Sample((pageCount, steps) =>
        {
            var bitmap = new PageBitmap(pageCount);
            var model = new bool[pageCount];
            foreach ((var step, var a, var b) in steps)
            {
                Apply(bitmap, model, step, a, b);
            }

            return Same(bitmap, model);
        }, iter: 3000);
    }

    [Fact]
    public void Runs_found_are_the_maximal_runs_cut_at_the_limit()
    {
        var cases = Gen.Select(
            s_pageCount, Gen.Select(Gen.Double.Unit, Gen.Double.Unit).Array[0, 12], Gen.OneOf(Gen.Long[1, 300], Gen.Const(long.MaxValue)));
        cases.Sample((pageCount, ranges, maxPages) =>
        {
            var bitmap = new PageBitmap(pageCount);
            var model = new bool[pageCount];
            foreach ((var a, var b) in ranges)
            {
                Apply(bitmap, model, Op.SetRange, a, b * b * b);
            }

            return Runs(bitmap, maxPages).SequenceEqual(NaiveRuns(model, maxPages));
        }, iter: 3000);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(65)]
    public void Words_from_elsewhere_bring_no_page_that_does_not_exist(long pages)
    {
        var bitmap = new PageBitmap(pages);
        Assert.True(bitmap.TryFill(static bytes =>
        {
            bytes.Fill(0xFF);
            return true;
        }));
        Assert.Equal(pages, bitmap.CountSet());
        Assert.False(bitmap.TryFill(static _ => false));
    }

    [Fact]
    public void A_single_page_is_found_from_every_start_before_it()
    {
        const int Pages = 4500;
        for (var page = 0; page < Pages; page += 37)
        {
            var bitmap = new PageBitmap(Pages);
            bitmap.Set(page);
            for (var from = 0; from <= page; from += 41)
            {
                Assert.True(bitmap.TryFindSetRun(from, 8, out var first, out var count));
                Assert.Equal((page, 1), (first, count));
            }
            Assert.False(bitmap.TryFindSetRun(page + 1, 8, out var end, out var none));
            Assert.Equal((Pages, 0), (end, none));
        }
    }

    [Fact]
    public void A_union_matches_an_array_of_flags()
    {
        var flags = Gen.Bool.Array[0, 300];
        flags.SelectMany(a => Gen.Bool.Array[a.Length].Select(b => (a, b))).Sample(pair =>
        {
            PageBitmap left = FromModel(pair.a), right = FromModel(pair.b);
            left.UnionWith(right);
            return Same(left, [.. pair.a.Zip(pair.b, (x, y) => x || y)]) && Same(right, pair.b);
        });
    }

    [Fact]
    public void Taking_moves_all_bits_and_counts_them()
    {
        var flags = Gen.Bool.Array[0, 300];
        flags.SelectMany(a => Gen.Bool.Array[a.Length].Select(b => (a, b))).Sample(pair =>
        {
            PageBitmap source = FromModel(pair.a), target = FromModel(pair.b);
            var moved = source.TakeAtomic(target);
            return moved == pair.a.Count(x => x) && source.CountSet() == 0 && Same(target, [.. pair.a.Zip(pair.b, (x, y) => x || y)]);
        });
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(100, 1)]
    [InlineData(99, 2)]
    [InlineData(0, 101)]
    [InlineData(1, -1)]
    [InlineData(101, 0)]
    [InlineData(1, long.MaxValue)]
    [InlineData(long.MaxValue, long.MaxValue)]
    [InlineData(long.MinValue, long.MinValue)]
    public void A_range_outside_the_bitmap_is_refused(long first, long count)
    {
        var bitmap = new PageBitmap(100);

        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.SetRange(first, count));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.ClearRange(first, count));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.SetRangeAtomic(first, count));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.ClearRangeAtomic(first, count));
        Assert.Equal(0, bitmap.CountSet());
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(100)]
    [InlineData(127)] // inside the last word, outside the map
    [InlineData(long.MaxValue)]
    public void A_page_outside_the_bitmap_is_refused(long page)
    {
        var bitmap = new PageBitmap(100);

        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.Set(page));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.Clear(page));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap[page]);
    }

    [Fact]
    public void A_search_outside_the_bitmap_or_for_no_pages_is_refused()
    {
        var bitmap = new PageBitmap(100);

        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.TryFindSetRun(101, 1, out _, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.TryFindSetRun(-1, 1, out _, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.TryFindSetRun(0, 0, out _, out _));
        Assert.False(bitmap.TryFindSetRun(100, 1, out _, out _));
    }

    [Fact]
    public void Sizes_out_of_range_and_maps_of_other_sizes_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new PageBitmap(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new PageBitmap(PageBitmap.MaxPages + 1));
        Assert.Throws<ArgumentException>(() => new PageBitmap(64).UnionWith(new PageBitmap(65)));
        Assert.Throws<ArgumentException>(() => new PageBitmap(64).TakeAtomic(new PageBitmap(63)));
    }

    [Fact]
    public async Task Atomic_ranges_of_several_threads_do_not_disturb_each_other()
    {
        // Thread t owns the pages p with p % 3 == t, so all threads meet in every word.
        const int Pages = 1000, Rounds = 60;
        var bitmap = new PageBitmap(Pages);
        await Task.WhenAll(Enumerable.Range(0, 3).Select(owner => Task.Run(() =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                for (var page = owner; page < Pages; page += 3)
                {
                    bitmap.SetRangeAtomic(page, 1);
                }

                for (var page = owner; page < Pages; page += 3)
                {
                    if (page % 2 == 0)
                    {
                        bitmap.ClearRangeAtomic(page, 1);
                    }
                }
            }
        }, TestContext.Current.CancellationToken)));

        for (var page = 0; page < Pages; page++)
        {
            Assert.Equal(page % 2 == 1, bitmap[page]);
        }
    }

    [Fact]
    public async Task A_bit_set_while_others_are_taken_is_taken_exactly_once()
    {
        // Each bit is set once, so one that is lost stays lost. The taker passes the word that is being written some hundred times a round.
        const int Pages = 64 * 4096, Rounds = 60;
        for (var round = 0; round < Rounds; round++)
        {
            PageBitmap marks = new(Pages), taken = new(Pages);
            var writer = Task.Run(() =>
            {
                for (var page = 0; page < Pages; page++)
                {
                    marks.SetRangeAtomic(page, 1);
                }
            }, TestContext.Current.CancellationToken);
            long moved = 0;
            while (!writer.IsCompleted)
            {
                moved += marks.TakeAtomic(taken);
            }

            await writer;
            moved += marks.TakeAtomic(taken);

            Assert.Equal((Pages, Pages), (moved, taken.CountSet()));
        }
    }

    private static void Apply(PageBitmap bitmap, bool[] model, Op op, double a, double b)
    {
        var first = (long)(a * model.Length);
        var count = (long)Math.Round(b * (model.Length - first));
        switch (op)
        {
            case Op.Set when first < model.Length:
                bitmap.Set(first);
                model[first] = true;
                break;
            case Op.Clear when first < model.Length:
                bitmap.Clear(first);
                model[first] = false;
                break;
            case Op.SetRange:
                bitmap.SetRange(first, count);
                model.AsSpan((int)first, (int)count).Fill(true);
                break;
            case Op.ClearRange:
                bitmap.ClearRange(first, count);
                model.AsSpan((int)first, (int)count).Clear();
                break;
            case Op.SetRangeAtomic:
                bitmap.SetRangeAtomic(first, count);
                model.AsSpan((int)first, (int)count).Fill(true);
                break;
            case Op.ClearRangeAtomic:
                bitmap.ClearRangeAtomic(first, count);
                model.AsSpan((int)first, (int)count).Clear();
                break;
            case Op.SetAll:
                bitmap.SetAll();
                model.AsSpan().Fill(true);
                break;
            case Op.ClearAll:
                bitmap.ClearAll();
                model.AsSpan().Clear();
                break;
        }
    }

    private static PageBitmap FromModel(bool[] model)
    {
        var bitmap = new PageBitmap(model.Length);
        for (var i = 0; i < model.Length; i++)
        {
            if (model[i])
            {
                bitmap.Set(i);
            }
        }
        return bitmap;
    }

    // Compares by the indexer, by the words as documented (no stray bits at the end), and by the count.
    private static bool Same(PageBitmap bitmap, bool[] model)
    {
        var words = new ulong[(model.Length + 63) / 64];
        for (var i = 0; i < model.Length; i++)
        {
            if (bitmap[i] != model[i])
            {
                return false;
            }

            if (model[i])
            {
                words[i / 64] |= 1UL << (i % 64);
            }
        }
        return bitmap.Words.SequenceEqual(words) && bitmap.CountSet() == model.Count(x => x);
    }

    private static IEnumerable<(long, long)> Runs(PageBitmap bitmap, long maxPages)
    {
        for (long from = 0; bitmap.TryFindSetRun(from, maxPages, out var first, out var count); from = first + count)
        {
            yield return (first, count);
        }
    }

    private static IEnumerable<(long, long)> NaiveRuns(bool[] model, long maxPages)
    {
        long start = -1;
        for (var i = 0; i <= model.Length; i++)
        {
            var set = i < model.Length && model[i];
            if (start >= 0 && (!set || i - start == maxPages))
            {
                yield return (start, i - start);
                start = -1;
            }
            if (set && start < 0)
            {
                start = i;
            }
        }
    }
}
