using DataPlane.Linux;
using DataPlane.Postcopy;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class MissingPageSupportTests
{
    [Theory]
    [InlineData("userfaultfd", Errno.EPERM, "0", false, "vm.unprivileged_userfaultfd is 0")]
    [InlineData("userfaultfd", Errno.EPERM, "0", true, "seccomp")]
    [InlineData("userfaultfd", Errno.EPERM, "1", true, "seccomp")]
    [InlineData("userfaultfd", Errno.ENOSYS, "0", true, "seccomp")]
    [InlineData("userfaultfd", Errno.ENOSYS, null, false, "CONFIG_USERFAULTFD")]
    [InlineData("userfaultfd", Errno.EMFILE, "1", false, "Too many open files")]
    [InlineData("ioctl(UFFDIO_API)", Errno.EINVAL, "1", false, "4.11")]
    [InlineData("userfaultfd", Errno.ENOMEM, "1", false, "userfaultfd is not to be had: userfaultfd: Cannot allocate memory (12)")]
    public void Each_obstacle_has_words_of_its_own(string call, int errno, string? sysctl, bool isFiltered, string expected) =>
        Assert.Contains(expected, MissingPageSupport.Explain(call, errno, sysctl, isFiltered), StringComparison.Ordinal);
}
