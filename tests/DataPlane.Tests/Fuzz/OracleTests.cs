using System.Buffers;
using DataPlane.Fuzz;
using Xunit;

namespace DataPlane.Tests.Fuzz;

/// <summary>That what the targets of the fuzzers demand is noticed when it does not hold.</summary>
public sealed class OracleTests
{
    [Theory]
    [InlineData(1000, true)]
    [InlineData(5000, false)]
    public void A_run_that_allocates_more_than_its_limit_is_a_finding(int bytes, bool isRight)
    {
        var target = new AllocatingTarget(bytes);
        if (isRight)
        {
            Assert.True(FuzzRun.Once(target, [1]));
        }
        else
        {
            Assert.Throws<OracleException>(() => FuzzRun.Once(target, [1]));
        }
    }

    [Fact]
    public void What_an_input_has_more_than_the_target_reads_is_cut()
    {
        var target = new AllocatingTarget(0);
        FuzzRun.Once(target, new byte[100]);
        Assert.Equal(target.MaxInputBytes, target.Length);
    }

    [Fact]
    public void A_byte_in_a_page_that_nobody_has_reported_is_noticed()
    {
        using var guest = new GuardedGuest(("one", 2 * TargetPage.Size), ("two", TargetPage.Size));
        var pages = new ReceivedPages(guest.Memory);
        Assert.Equal(0, guest.CountUnreported(pages));
        guest.Memory.Blocks[0].Span(TargetPage.Size, 1)[0] = 1;
        Assert.Equal(1, guest.CountUnreported(pages));
        var before = guest.Digest(pages);
        pages.RecordData(guest.Memory.Blocks[0], 1, 1);
        Assert.Equal(0, guest.CountUnreported(pages));
        Assert.NotEqual(before, guest.Digest(pages));
    }

    [Fact]
    public void No_system_call_reaches_what_lies_around_a_block()
    {
        using var guest = new GuardedGuest(("one", TargetPage.Size), ("two", TargetPage.Size));
        using var zeros = File.OpenHandle("/dev/zero");
        foreach (var block in guest.Memory.Blocks)
        {
            Assert.Equal(TargetPage.Size, ReadInto(zeros, block.Address));
            Assert.ThrowsAny<Exception>(() => ReadInto(zeros, block.Address - TargetPage.Size));
            Assert.ThrowsAny<Exception>(() => ReadInto(zeros, block.Address + TargetPage.Size));
        }
    }

    [Theory]
    [InlineData(OperationStatus.Done, 5, null, 4)]
    [InlineData(OperationStatus.Done, 1, "an error", 4)]
    [InlineData(OperationStatus.InvalidData, 0, null, 4)]
    [InlineData(OperationStatus.NeedMoreData, 1, null, 4)]
    [InlineData(OperationStatus.DestinationTooSmall, 0, null, 4)]
    public void A_parser_that_contradicts_itself_is_a_finding(OperationStatus status, int consumed, string? error, int available) =>
        Assert.Throws<OracleException>(() => Oracle.Consistent(status, consumed, error, available));

    [Fact]
    public void Other_bytes_than_those_that_were_read_are_a_finding() =>
        Assert.Throws<OracleException>(() => Oracle.Same([1, 2], [1, 3], "a record"));

    private static unsafe int ReadInto(Microsoft.Win32.SafeHandles.SafeFileHandle file, nint address) =>
        RandomAccess.Read(file, new Span<byte>((void*)address, TargetPage.Size), 0);

    private sealed class AllocatingTarget(int bytes) : IFuzzTarget
    {
        public string Reads => "nothing";

        public int MaxInputBytes => 4;

        public long MaxAllocatedBytes => 2000;

        public int Length { get; private set; }

        public bool Run(ReadOnlySpan<byte> input)
        {
            Length = input.Length;
            return new byte[bytes].Length == bytes;
        }
    }
}
