namespace DataPlane.TestSupport;

/// <summary>
/// Ends a test that stands still, by name: it is cancelled, which ends all that it waits for; a test that is there even then ends the whole
/// run, since the suite would say no more than that it took too long.
/// </summary>
internal sealed class TestDeadline : IDisposable
{
    // No test takes a minute on a quiet machine, and everything that one waits for is limited to a minute and a half.
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan s_grace = TimeSpan.FromMinutes(3);

    private readonly Xunit.ITestContext _test;
    private readonly Timer _timer;
    private bool _cancelled;

    /// <summary>Begins to count for a test.</summary>
    internal TestDeadline(Xunit.ITestContext test)
    {
        _test = test;
        _timer = new Timer(_ => Expire());
        _timer.Change(s_limit, Timeout.InfiniteTimeSpan);
    }

    public void Dispose() => _timer.Dispose();

    private void Expire()
    {
        var name = _test.Test?.TestDisplayName;
        if (_cancelled)
        {
            Environment.FailFast($"{name} stands still, and could not be cancelled");
        }

        _cancelled = true;
        Console.Error.WriteLine($"{name} stands still: cancelled after {s_limit.TotalMinutes} minutes");
        _timer.Change(s_grace, Timeout.InfiniteTimeSpan);
        _test.CancelCurrentTest();
    }
}
