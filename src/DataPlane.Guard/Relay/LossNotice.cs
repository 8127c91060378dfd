namespace DataPlane.Guard.Relay;

/// <summary>
/// Holds the news that a client is lost back from QEMU until QEMU is ready for it. Used by one relay, on its thread.
/// </summary>
/// <param name="prepare">Makes QEMU ready. It must end within a limit of its own; a failure counts as an end.</param>
internal sealed class LossNotice(Func<Task> prepare)
{
    private Task? _prepared;

    /// <summary>Whether QEMU may be told. If not yet, <paramref name="again"/> is called once it may be, on any thread.</summary>
    internal bool MayBeGiven(Action again)
    {
        if (_prepared is null)
        {
            _prepared = prepare();
            if (!_prepared.IsCompleted)
            {
                _ = _prepared.ContinueWith(_ => again(), TaskScheduler.Default);
            }
        }

        return _prepared.IsCompleted;
    }
}
