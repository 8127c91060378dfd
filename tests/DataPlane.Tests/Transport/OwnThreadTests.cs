using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class OwnThreadTests
{
    [Fact]
    public async Task The_work_has_a_thread_of_that_name_to_itself()
    {
        var (thread, description) = await OwnThread.RunAsync("dp-test", static () =>
        {
            var current = Thread.CurrentThread;
            return (current, (current.Name, current.IsBackground, current.IsThreadPoolThread));
        });

        Assert.Equal(("dp-test", true, false), description);
        Assert.False(thread.IsAlive);
    }

    [Fact]
    public async Task What_the_work_throws_the_task_throws()
    {
        var task = OwnThread.RunAsync("dp-test", static () => throw new OperationCanceledException("enough"));
        var failure = await Assert.ThrowsAsync<OperationCanceledException>(() => task);
        Assert.Equal("enough", failure.Message);
    }
}
