using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Linux;

public sealed class ErrnoTests
{
    [Theory]
    [InlineData(Errno.ECONNRESET, "Connection reset by peer (104)")]
    [InlineData(Errno.ENOSPC, "No space left on device (28)")]
    public void A_description_has_text_and_number(int errno, string expected) => Assert.Equal(expected, Errno.Describe(errno));

    [Fact]
    public void An_unknown_number_is_still_described() => Assert.EndsWith("(99999)", Errno.Describe(99999), StringComparison.Ordinal);

    [Fact]
    public void A_failed_call_says_which_call_on_what_and_why()
    {
        var e = Assert.Throws<LinuxException>(() => LinuxFile.Open("/does/not/exist", FileCalls.OpenReadOnly));

        Assert.Equal(("open", Errno.ENOENT), (e.Call, e.Errno));
        Assert.Equal("open failed for /does/not/exist: No such file or directory (2)", e.Message);
    }
}
