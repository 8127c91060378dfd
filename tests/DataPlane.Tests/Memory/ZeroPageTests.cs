using DataPlane.Memory;
using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class ZeroPageTests
{
    // The page stands between bytes that are not zero: a path that reads too far calls a zero page non-zero.
    private readonly byte[] _surrounded = [.. Enumerable.Repeat((byte)0xFF, 3 * TargetPage.Size)];

    // Software fallback makes the vector paths right, if slow, on hardware without such vectors: all paths run everywhere.
    public static TheoryData<string> Paths => ["public", "pointer", "512", "256", "portable"];

    [Theory]
    [MemberData(nameof(Paths))]
    public void A_page_of_zeros_is_zero_at_any_alignment(string path)
    {
        for (var start = TargetPage.Size; start < TargetPage.Size + 70; start++)
        {
            _surrounded.AsSpan().Fill(0xFF);
            var page = _surrounded.AsSpan(start, TargetPage.Size);
            page.Clear();
            Assert.True(IsZero(path, page), $"{path}, starting at {start}");
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void One_byte_anywhere_makes_it_non_zero(string path)
    {
        var page = _surrounded.AsSpan(TargetPage.Size, TargetPage.Size);
        page.Clear();
        for (var i = 0; i < page.Length; i++)
        {
            foreach (var value in new byte[] { 1, 0x80, 0xFF })
            {
                page[i] = value;
                Assert.False(IsZero(path, page), $"{path}, byte {i} = {value}");
            }
            page[i] = 0;
        }
        Assert.True(IsZero(path, page));
    }

    [Fact]
    public void Other_lengths_are_looked_at_to_the_last_byte()
    {
        foreach (var length in new[] { 0, 1, 63, 64, 65, 4095, 4097, 8192 })
        {
            var bytes = new byte[length];
            Assert.True(ZeroPage.IsZero(bytes));
            if (length == 0)
            {
                continue;
            }

            bytes[^1] = 1;
            Assert.False(ZeroPage.IsZero(bytes));
        }
    }

    private static unsafe bool IsZero(string path, Span<byte> page)
    {
        switch (path)
        {
            case "public":
                return ZeroPage.IsZero(page);
            case "pointer":
                fixed (byte* start = page)
                {
                    return ZeroPage.IsZero(start);
                }

            case "512":
                return ZeroPage.IsZero512(ref page[0]);
            case "256":
                return ZeroPage.IsZero256(ref page[0]);
            case "portable":
                return ZeroPage.IsZeroPortable(page);
            default:
                throw new ArgumentOutOfRangeException(nameof(path));
        }
    }
}
