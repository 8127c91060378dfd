namespace DataPlane.Transport;

/// <summary>
/// Runs every step of a teardown, even when earlier ones throw, because a later step may be what frees a guest. Keeps the first failure.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class Teardown
{
    /// <summary>The exception of the first step that has failed; null when none has.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Runs a step, and keeps what it throws.</summary>
    public void Run(Action step)
    {
        try
        {
            step();
        }
        catch (Exception failure)
        {
            Failure ??= failure;
        }
    }

    /// <summary>Runs an asynchronous step, and keeps what it throws.</summary>
    public async Task RunAsync(Func<Task> step)
    {
        try
        {
            await step().ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            Failure ??= failure;
        }
    }

    /// <summary>Throws the first failure, if there is one; to be called after the last step.</summary>
    public void ThrowIfFailed()
    {
        if (Failure is { } failure)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }
    }
}
