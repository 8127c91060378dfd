namespace DataPlane.Transport;

/// <summary>
/// Runs every step of a teardown, whatever one of them throws: a later step may be what frees a guest. Keeps the first failure.
/// </summary>
/// <remarks>One thread at a time.</remarks>
internal sealed class Teardown
{
    /// <summary>What the first step that failed has thrown; null when none has.</summary>
    internal Exception? Failure { get; private set; }

    /// <summary>Runs a step.</summary>
    internal void Run(Action step)
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

    /// <summary>Runs a step.</summary>
    internal async Task RunAsync(Func<Task> step)
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

    /// <summary>After the last step.</summary>
    internal void ThrowIfFailed()
    {
        if (Failure is { } failure)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }
    }
}
