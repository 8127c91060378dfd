namespace DataPlane.Tool.Guard;

/// <summary>The guard of one migration into one QEMU, as the command sees it.</summary>
internal interface IGuardedVm : IAsyncDisposable
{
    /// <summary>Prepares QEMU and opens the address. Connections are accepted when it returns.</summary>
    Task StartAsync(CancellationToken cancellation);

    /// <summary>Serves until the migration has completed or failed; <see cref="Status"/> tells which.</summary>
    Task RunAsync(CancellationToken cancellation);

    /// <summary>
    /// Ends the guard: at once, or when a migration that has begun is over. Any thread may call it, until the guard is disposed of.
    /// </summary>
    void Retire();

    VmStatus Status();
}
