namespace DataPlane.Transport;

/// <summary>
/// Runs work that blocks on a thread of its own, so that peers that do not answer cannot use up the runtime's thread pool. The task that it
/// returns is the end of that thread: whoever started it awaits it.
/// </summary>
internal static class OwnThread
{
    /// <exception cref="OutOfMemoryException">The system gives no thread.</exception>
    internal static Task RunAsync(string name, Action work)
    {
        var end = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() => Run(work, end)) { Name = name, IsBackground = true }.Start();
        return end.Task;
    }

    private static void Run(Action work, TaskCompletionSource end)
    {
        try
        {
            work();
            end.SetResult();
        }
        catch (Exception failure)
        {
            end.SetException(failure);
        }
    }
}
