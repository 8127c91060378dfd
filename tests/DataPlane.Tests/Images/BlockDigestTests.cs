using System.Security.Cryptography;
using DataPlane.Images;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class BlockDigestTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(700, 3)] // more than a chunk of data and of zeros
    [InlineData(700, 400)]
    [InlineData(700, 1000)]
    public void Pages_without_data_count_as_zeros_whatever_is_in_them(int pages, int runLength)
    {
        using var block = RamBlock.Allocate("pc.ram", pages * (long)TargetPage.Size, RamAllocation.Default with { HugePages = false });
        var memory = block.Span(0, (int)block.Length);
        new Random(pages).NextBytes(memory);
        var expected = memory.ToArray();
        var holdingData = new PageBitmap(pages);
        for (var page = 0; page < pages; page++)
        {
            if (page / runLength % 2 == 0)
            {
                holdingData.Set(page);
            }
            else
            {
                expected.AsSpan(page * TargetPage.Size, TargetPage.Size).Clear();
            }
        }

        Assert.Equal(
            new BlockDigest("pc.ram", block.Length, Convert.ToHexStringLower(SHA256.HashData(expected))),
            BlockDigest.Compute(block, holdingData));
    }
}
