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
        bool supported = PagemapDirtyTracker.IsSupported(out string? reason);

        Assert.Equal(supported, reason is null);
    }

    [Fact]
    public void Blocks_off_the_pages_of_the_machine_are_refused_before_the_kernel_sees_them()
    {
        Assert.SkipWhen(Environment.SystemPageSize == TargetPage.Size, "target pages are pages of this machine, so no block can be off them");
        using var memory = new GuestMemory([RamBlock.Wrap("b", Environment.SystemPageSize + TargetPage.Size, TargetPage.Size, false)]);

        Assert.Throws<ArgumentException>(() => new PagemapDirtyTracker(memory));
    }
}
