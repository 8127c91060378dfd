namespace DataPlane.Tool.Guard;

/// <summary>One migration's front door before one QEMU, as the command sees it.</summary>
internal interface IGuardedVm : IAsyncDisposable
{
    /// <summary>Prepares QEMU and opens the address; when it returns connections are accepted.</summary>
    Task StartAsync(CancellationToken cancellation);

    /// <summary>Serves until the migration is over, well or badly: <see cref="Status"/> says which.</summary>
    Task RunAsync(CancellationToken cancellation);

    /// <summary>Has it end: at once, or when the migration that has begun is over. Any thread, at any time before it is disposed of.</summary>
    void Retire();

    VmStatus Status();
}
