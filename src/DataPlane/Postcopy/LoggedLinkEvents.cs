using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>Passes events on and logs what the listener throws, because that ends neither a pause nor a link. Thread-safe.</summary>
internal sealed class LoggedLinkEvents(ILinkEvents listener, ILogger logger) : ILinkEvents
{
    public void OnPaused(Exception cause, bool isLost) => Tell(() => listener.OnPaused(cause, isLost));

    public void OnRecoveryFailed(Exception cause) => Tell(() => listener.OnRecoveryFailed(cause));

    public void OnResumed() => Tell(listener.OnResumed);

    private void Tell(Action call)
    {
        try
        {
            call();
        }
        catch (Exception failure)
        {
            PostcopyLog.ListenerFailed(logger, failure);
        }
    }
}
