using DataPlane.Multifd;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Multifd;

public sealed class MultifdSenderTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_thread_that_gets_no_block_fails_the_first_round_and_ends()
    {
        using var pool = new BlockPool();
        pool.Dispose();
        var sender = new MultifdSender(2, pool);

        var failure = await Assert.ThrowsAsync<ChannelException>(() => sender.SendSyncAsync().WaitAsync(s_patience, Token));

        Assert.Equal(FailureReason.LocalFailure, failure.Reason);
        Assert.IsType<ObjectDisposedException>(failure.InnerException);
        await sender.StopAsync().WaitAsync(s_patience, Token);
    }

    [Fact]
    public async Task A_thread_that_gets_no_block_ends_also_without_a_round()
    {
        using var pool = new BlockPool();
        pool.Dispose();
        var sender = new MultifdSender(1, pool);

        await sender.StopAsync().WaitAsync(s_patience, Token);
    }
}
