namespace DataPlane.Tool.Serve;

/// <summary>
/// The destination half of one kind of leg. The session owns the memory and the control connection; the leg moves the bytes.
/// </summary>
internal interface IServeLeg
{
    /// <summary>The name of the leg in the message <c>prepare</c>.</summary>
    string Name { get; }

    /// <summary>
    /// Whether the leg needs memory that nobody has touched. It leaves the memory in another state, so the memory is not used again.
    /// </summary>
    bool NeedsUntouchedMemory => false;

    /// <summary>Why this machine or user cannot have the leg, for a person; null where nothing is in the way.</summary>
    string? Obstacle => null;

    /// <summary>Starts to accept the leg's data connections, and returns when a client may connect.</summary>
    /// <param name="request">The client's request; the session has checked that sizes and counts are within limits.</param>
    /// <param name="guest">Memory that reads as zero, one block of <c>request.RamBytes</c>; populated unless it must be untouched.</param>
    Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation);
}

/// <summary>One leg under way. Disposal stops at once whatever still runs.</summary>
internal interface IServeLegRun : IAsyncDisposable
{
    /// <summary>The port at which the data connections are accepted.</summary>
    int Port { get; }

    /// <summary>A number that changes with every sign of life of the client. May be read from any thread.</summary>
    long Progress { get; }

    /// <summary>
    /// Runs the leg until it is committed or has failed. A failure is in <see cref="ResultMessage.Error"/> and is not thrown. The session
    /// fills in <see cref="ResultMessage.CpuSeconds"/>.
    /// </summary>
    Task<ResultMessage> RunAsync(CancellationToken cancellation);
}
