namespace DataPlane.Transport;

/// <summary>
/// Runs work that blocks on a thread of its own, so that peers that do not answer cannot use up the runtime's thread pool. The task that it
/// returns completes when the thread has ended: whoever started it awaits it.
/// </summary>
internal static class OwnThread
{
    /// <inheritdoc cref="RunAsync{T}"/>
    public static Task RunAsync(string name, Action work) => RunAsync(
        name,
        () =>
        {
            work();
            return true;
        });

    /// <summary>Starts a thread with this name. The task has the result of <paramref name="work"/>, or its exception.</summary>
    /// <exception cref="OutOfMemoryException">The system gives no thread.</exception>
    public static Task<T> RunAsync<T>(string name, Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() => Run(work, done)) { Name = name, IsBackground = true };
        thread.Start();
        return JoinAsync(thread, done.Task);
    }

    private static async Task<T> JoinAsync<T>(Thread thread, Task<T> done)
    {
        try
        {
            return await done.ConfigureAwait(false);
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
