using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class StagingBudgetTests
{
    [Fact]
    public void All_holders_share_one_limit_and_who_gives_back_makes_room()
    {
        StagingBudget budget = new(100);
        long one = 0, other = 0;
        budget.Change(ref one, 60, "main", "a host page");
        var refused = Assert.Throws<ChannelException>(() => Change(41));
        Assert.Equal((FailureReason.LimitExceeded, "multifd 1"), (refused.Reason, refused.Channel));
        Assert.Equal(
            "a window needs 41 bytes, and all channels together may have 100 beside the guest's memory, "
            + "of which 60 are in use (MaxStagingBytes)",
            refused.Message);
        Assert.Equal((60L, 0L), (one, other));

        Change(40);
        budget.Change(ref one, 0, "main", "");
        Change(100);
        Assert.Equal((0L, 100L), (one, other));
        Assert.Throws<ChannelException>(() => Change(101));

        void Change(long now) => budget.Change(ref other, now, "multifd 1", "a window");
    }
}
