using DataPlane.Memory;

namespace DataPlane.Tool.Serve;

/// <summary>
/// The destination half of one kind of leg. The session owns the memory and the control connection; the leg moves the bytes.
/// </summary>
internal interface IServeLeg
{
    /// <summary>As named in <c>prepare</c>.</summary>
    string Name { get; }

    /// <summary>
    /// The leg wants memory that nobody has touched, and leaves it in another state than it was: it is not used again.
    /// </summary>
    bool NeedsUntouchedMemory => false;

    /// <summary>Why this machine or user cannot have the leg, in words for a person; null where nothing is in the way.</summary>
    string? Obstacle => null;

    /// <summary>Starts to accept the leg's data connections; returns when a client may connect.</summary>
    /// <param name="request">Checked by the session: sizes and counts are within limits.</param>
    /// <param name="guest">Memory that reads as zero, one block of <c>request.RamBytes</c>; populated unless it must be untouched.</param>
    Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation);
}

/// <summary>One leg under way. Disposing it stops whatever still runs, at once.</summary>
internal interface IServeLegRun : IAsyncDisposable
{
    /// <summary>Where the data connections are accepted.</summary>
    int Port { get; }

    /// <summary>Changes with every sign of life of the client. Any thread.</summary>
    long Progress { get; }

    /// <summary>
    /// Ends when the leg is committed or has failed; a failure is in <see cref="ResultMessage.Error"/>, not thrown.
    /// <see cref="ResultMessage.CpuSeconds"/> is filled in by the session.
    /// </summary>
    Task<ResultMessage> RunAsync(CancellationToken cancellation);
}
