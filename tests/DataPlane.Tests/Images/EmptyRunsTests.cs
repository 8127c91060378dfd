using CsCheck;
using DataPlane.Images;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class EmptyRunsTests
{
    [Fact]
    public void Runs_are_exactly_the_pages_that_are_missing_in_order_and_as_long_as_possible() =>
        Gen.Bool.Array[1, 300].Sample(pages =>
        {
            var bitmap = new PageBitmap(pages.Length);
            for (var page = 0; page < pages.Length; page++)
            {
                if (pages[page])
                {
                    bitmap.Set(page);
                }
            }

            bool[] covered = [.. pages];
            long end = -1;
            foreach ((var first, var count) in EmptyRuns.Of(bitmap))
            {
                Assert.True(first > end && count > 0, "runs touch, overlap or are empty");
                end = first + count;
                for (var page = first; page < end; page++)
                {
                    Assert.False(covered[page]);
                    covered[page] = true;
                }
            }

            Assert.DoesNotContain(false, covered);
        });

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(130)]
    public void Full_and_empty_bitmaps(long pages)
    {
        var bitmap = new PageBitmap(pages);
        Assert.Equal([(0L, pages)], EmptyRuns.Of(bitmap));
        bitmap.SetAll();
        Assert.Empty(EmptyRuns.Of(bitmap));
    }
}
