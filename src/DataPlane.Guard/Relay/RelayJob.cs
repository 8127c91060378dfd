namespace DataPlane.Guard.Relay;

/// <summary>What a <see cref="RelayWorker"/> looks after whenever one of its sockets has news. Used by that worker's thread.</summary>
internal abstract class RelayJob
{
    /// <summary>Whether it is in its worker's queue of jobs with something to do.</summary>
    internal bool IsQueued { get; set; }

    /// <summary>There is nothing more to do.</summary>
    internal abstract bool IsOver { get; }

    /// <summary>A system call that was made for it failed: it ends, and nothing else does.</summary>
    internal abstract void Fail(int errno);

    /// <summary>One turn; true when there is more to do at once.</summary>
    internal abstract bool Run();
}
