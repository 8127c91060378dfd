using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class FirstBytesTests
{
    [Fact]
    public void What_is_prepended_last_is_delivered_first_and_once()
    {
        var first = new FirstBytes();
        Assert.True(first.IsEmpty);
        first.Prepend([3, 4, 5]);
        first.Prepend([1, 2]);
        var target = new byte[4];

        Assert.Equal(4, first.Take(target));
        Assert.Equal([1, 2, 3, 4], target);
        Assert.False(first.IsEmpty);
        Assert.Equal(1, first.Take(target));
        Assert.Equal(5, target[0]);
        Assert.True(first.IsEmpty);
        Assert.Equal(0, first.Take(target));
    }

    [Fact]
    public void Vectors_are_filled_in_turn_and_what_is_left_of_them_comes_back()
    {
        using NativeBuffer target = new(10);
        var first = new FirstBytes();
        first.Prepend([1, 2, 3, 4, 5]);
        IoVec[] vectors = [target.Vector(0, 2), target.Vector(2, 4), target.Vector(6, 4)];

        var rest = first.Take(vectors, out var taken);

        Assert.Equal(5, taken);
        Assert.Equal([1, 2, 3, 4, 5], target.Span[..5].ToArray());
        Assert.Equal([(nuint)1, (nuint)4], rest.ToArray().Select(static vector => vector.Length));
        Assert.True(first.IsEmpty);
    }

    [Fact]
    public void Vectors_that_are_too_short_leave_the_rest_for_the_next()
    {
        using NativeBuffer target = new(2);
        var first = new FirstBytes();
        first.Prepend([1, 2, 3]);
        IoVec[] vectors = [target.Whole];

        Assert.True(first.Take(vectors, out var taken).IsEmpty);
        Assert.Equal(2, taken);
        Assert.False(first.IsEmpty);
    }
}
