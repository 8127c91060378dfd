namespace DataPlane.Migration.Source;

/// <summary>The host's request to go on over a new link, and what has become of it. Thread-safe.</summary>
/// <param name="address">The address at which the destination waits.</param>
internal sealed class ResumeRequest(ChannelAddress address)
{
    private readonly TaskCompletionSource _outcome = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ChannelAddress Address => address;

    /// <summary>Completes when pages flow again; fails with the reason why they do not.</summary>
    public Task Outcome => _outcome.Task;

    public void Succeed() => _outcome.TrySetResult();

    /// <summary>Tells the host why the attempt has failed. Without effect on a request that has its outcome.</summary>
    public void Fail(Exception failure)
    {
        if (_outcome.TrySetException(failure))
        {
            _ = _outcome.Task.Exception; // a host that does not wait for the outcome finds the reason in the progress
        }
    }
}
