namespace DataPlane.Tool.Guard;

/// <summary>One migration's front door before one QEMU, as the command sees it.</summary>
internal interface IGuardedVm : IAsyncDisposable
{
    /// <summary>Prepares QEMU and opens the address; when it returns connections are accepted.</summary>
    Task StartAsync(CancellationToken cancellation);

    /// <summary>Serves until the migration is over, well or badly: <see cref="Status"/> says which.</summary>
    Task RunAsync(CancellationToken cancellation);

    VmStatus Status();
}
