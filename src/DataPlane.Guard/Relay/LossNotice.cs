namespace DataPlane.Guard.Relay;

/// <summary>Holds the loss of a client back from QEMU until QEMU is ready for it. One relay uses it, on its thread.</summary>
/// <param name="prepare">Makes QEMU ready. It must end within a time limit of its own; a failure counts as an end.</param>
internal sealed class LossNotice(Func<Task> prepare)
{
    private Task? _prepared;

    /// <summary>Whether QEMU may be told now. If not, <paramref name="again"/> is called when it may be, on any thread.</summary>
    public bool MayBeGiven(Action again)
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
