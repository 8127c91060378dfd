using DataPlane.Linux;
using DataPlane.Memory;
using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class TrackingSupportTests
{
    private static readonly Version s_kernel = new(6, 1, 90);

    [Theory]
    [InlineData("userfaultfd", Errno.ENOSYS, "no userfaultfd")]
    [InlineData("userfaultfd", Errno.EPERM, "not permitted to this user")]
    [InlineData("ioctl(UFFDIO_API)", Errno.EINVAL, "needs Linux 6.7 or later; this is 6.1.90")]
    [InlineData("ioctl(PAGEMAP_SCAN)", Errno.ENOTTY, "PAGEMAP_SCAN needs Linux 6.7 or later; this is 6.1.90")]
    [InlineData("open", Errno.EACCES, "/proc/self/pagemap cannot be opened: Permission denied (13)")]
    [InlineData("mmap", Errno.ENOMEM, "mmap failed: Cannot allocate memory (12)")]
    public void The_reason_says_what_is_missing(string call, int errno, string expected)
        => Assert.Contains(expected, TrackingSupport.Explain(call, errno, s_kernel));

    [Fact]
    public void A_reason_is_given_exactly_when_tracking_does_not_work()
    {
        var supported = PagemapDirtyTracker.IsSupported(out var reason);

        Assert.Equal(supported, reason is null);
    }

    [Theory]
    [InlineData(0x10000, 0x8000, true)]
    [InlineData(0x11000, 0x8000, false)]
    [InlineData(0x10000, 0x9000, false)]
    public void Blocks_must_start_and_end_at_pages_of_the_machine(long address, long length, bool allowed)
    {
        using var memory = new GuestMemory([RamBlock.Wrap("b", (nint)address, length, false)]);

        var e = Record.Exception(() => PagemapDirtyTracker.CheckAlignment(memory, 0x4000));

        Assert.Equal(allowed ? null : typeof(ArgumentException), e?.GetType());
    }
}
