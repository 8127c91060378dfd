namespace DataPlane.Guard.Relay;

/// <summary>
/// Empty pipes for the next direction that has bytes to move: a channel that is idle holds none. Used by one thread.
/// </summary>
internal sealed class PipePool(int kept) : IDisposable
{
    private readonly Stack<RelayPipe> _free = [];

    /// <summary>Null where the system has none to give: no descriptors, or no memory for pipes.</summary>
    internal RelayPipe? TryRent() => _free.TryPop(out var pipe) ? pipe : RelayPipe.TryCreate();

    /// <summary>A pipe that still holds bytes of a lost channel is of no more use.</summary>
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
