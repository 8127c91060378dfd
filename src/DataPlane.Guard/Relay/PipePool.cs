namespace DataPlane.Guard.Relay;

/// <summary>
/// Keeps empty pipes for the next direction that has bytes to move, so that an idle channel holds none. One thread uses it.
/// </summary>
/// <remarks>An ObjectPool would pay for other threads, and cannot say that the system has no pipe left.</remarks>
internal sealed class PipePool(int kept) : IDisposable
{
    private readonly Stack<RelayPipe> _free = [];

    /// <summary>Returns a pipe; null where the system has no descriptors, or no memory for pipes.</summary>
    internal RelayPipe? TryRent() => _free.TryPop(out var pipe) ? pipe : RelayPipe.TryCreate();

    /// <summary>Takes a pipe back. A pipe that still holds bytes of a lost channel is closed.</summary>
    internal void Return(RelayPipe pipe)
    {
        if (pipe.Count == 0 && _free.Count < kept)
        {
            _free.Push(pipe);
        }
        else
        {
            pipe.Dispose();
        }
    }

    public void Dispose()
    {
        while (_free.TryPop(out var pipe))
        {
            pipe.Dispose();
        }
    }
}
