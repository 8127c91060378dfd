using CsCheck;
using DataPlane.Guard.Session;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class MainStreamEndTests
{
    internal static readonly byte[] Bytes = [0, 0, 0, 0, 0, 0, 0, 0x10, 0x7E, 0, 0, 0, 3, 0];

    private int _seen;

    [Fact]
    public void The_end_is_seen_however_the_bytes_are_split_and_more_bytes_take_it_back()
    {
        byte[] all = [.. new byte[50], .. Bytes];
        Gen.Int[1, 20].Array[1, 60].Sample(sizes =>
        {
            var end = New();
            for (int start = 0, i = 0; start < all.Length; i++)
            {
                Assert.False(end.HasCome);
                var size = Math.Min(sizes[i % sizes.Length], all.Length - start);
                end.Take(all.AsSpan(start + Math.Max(size - end.Length, 0), Math.Min(size, end.Length)));
                start += size;
            }

            Assert.True(end.HasCome);
            end.Take([0x02]);
            Assert.False(end.HasCome);
        }, iter: 300);
        Assert.True(_seen >= 300);
    }

    [Fact]
    public void A_stream_that_ends_again_and_again_is_told_once_until_somebody_has_heard_of_it()
    {
        var end = New();
        for (var i = 0; i < 1000; i++)
        {
            end.Take(Bytes);
        }

        Assert.Equal((1000, 1), (end.Sightings, _seen));
        end.Heard();
        end.Take(Bytes);
        Assert.Equal(2, _seen);
    }

    [Fact]
    public void An_end_that_came_before_somebody_had_done_with_the_last_is_told_once_and_one_that_was_taken_back_is_not()
    {
        var end = New();
        end.Take(Bytes);
        end.TellIfMissed();
        Assert.Equal(1, _seen);
        end.Take([0x02]);
        end.Take(Bytes);
        end.Heard();
        end.TellIfMissed();
        end.TellIfMissed();
        Assert.Equal(2, _seen);
        end.Heard();
        end.Take([0x02]);
        end.TellIfMissed();
        Assert.Equal(2, _seen);
    }

    [Fact]
    public void Bitmaps_of_a_disk_may_be_the_last_section()
    {
        var end = New();
        end.Take([9, 9, 9, 9, 9, 9, 9, 1, 0x7E, 0, 0, 0, 4, 0]);
        Assert.True(end.HasCome);
    }

    [Theory]
    [InlineData(13, 1)] // no end of the stream
    [InlineData(8, 0x7D)] // no footer
    [InlineData(9, 1)] // a section number beyond all others
    [InlineData(7, 8)] // a page, not an end of section
    public void Nothing_else_is_an_end(int at, byte value)
    {
        byte[] bytes = [.. Bytes];
        bytes[at] = value;
        var end = New();
        end.Take(bytes);
        Assert.False(end.HasCome);
        Assert.Equal(0, _seen);
    }

    private MainStreamEnd New() => new(_ => Interlocked.Increment(ref _seen));
}
