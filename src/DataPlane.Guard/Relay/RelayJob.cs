namespace DataPlane.Guard.Relay;

/// <summary>A job that a <see cref="RelayWorker"/> runs whenever one of its sockets is ready. That worker's thread uses it.</summary>
internal abstract class RelayJob
{
    /// <summary>Whether the job is in its worker's queue of jobs with something to do.</summary>
    public bool IsQueued { get; set; }

    /// <summary>Whether there is nothing more to do.</summary>
    public abstract bool IsOver { get; }

    /// <summary>Ends this job, and no other, because a system call for it has failed.</summary>
    public abstract void Fail(int errno);

    /// <summary>Runs one turn; returns true when there is more to do at once.</summary>
    public abstract bool Run();
}
