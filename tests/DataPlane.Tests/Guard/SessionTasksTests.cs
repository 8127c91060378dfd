using DataPlane.Guard.Session;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Nothing that a session has started is left when it has ended.</summary>
public sealed class SessionTasksTests
{
    [Fact]
    public async Task The_end_cancels_each_task_and_waits_for_it()
    {
        var tasks = new SessionTasks();
        var mayEnd = new TaskCompletionSource();
        var isCancelled = false;
        _ = tasks.Run(async ending =>
        {
            await Task.Delay(Timeout.Infinite, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            isCancelled = true;
            await mayEnd.Task;
        });

        var ends = tasks.DisposeAsync().AsTask();

        Assert.False(ends.IsCompleted);
        mayEnd.SetResult();
        await ends;
        Assert.True(isCancelled);
        Assert.True(tasks.Ending.IsCancellationRequested);
    }

    [Fact]
    public async Task A_task_that_fails_or_starts_another_one_does_not_break_the_end()
    {
        var tasks = new SessionTasks();
        var hasRun = false;
        _ = tasks.Run(async ending =>
        {
            await Task.Delay(Timeout.Infinite, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _ = tasks.Run(async _ =>
            {
                await Task.Yield();
                hasRun = true;
            });
            throw new InvalidOperationException();
        });

        await tasks.DisposeAsync();

        Assert.True(hasRun);
    }

    [Fact]
    public async Task An_event_is_posted_when_its_time_has_come_and_not_before()
    {
        await using var tasks = new SessionTasks();
        var time = new FakeTimeProvider();
        var events = new SessionEvents(tasks, time);
        events.PostLater(new GuardEvent.TimeUp(1), TimeSpan.FromSeconds(5));

        time.Advance(TimeSpan.FromSeconds(4));
        Assert.Null(events.TryTake());
        time.Advance(TimeSpan.FromSeconds(1));

        Assert.True(await events.WaitAsync());
        Assert.Equal(new GuardEvent.TimeUp(1), events.TryTake());
    }
}
