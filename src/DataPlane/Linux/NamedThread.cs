namespace DataPlane.Linux;

/// <summary>Runs work that blocks on a thread of its own, which is joined before its result is given out.</summary>
internal static class NamedThread
{
    /// <summary>
    /// Starts a thread with this name. The task completes with the result of <paramref name="work"/>, or with its exception, when the
    /// thread has ended.
    /// </summary>
    public static async Task<T> RunAsync<T>(string name, Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() => Run(work, done)) { Name = name, IsBackground = true };
        thread.Start();
        try
        {
            return await done.Task.ConfigureAwait(false);
        }
        finally
        {
            thread.Join();
        }
    }

    private static void Run<T>(Func<T> work, TaskCompletionSource<T> done)
    {
        try
        {
            done.SetResult(work());
        }
        catch (Exception failure)
        {
            done.SetException(failure);
        }
    }
}
