using System.Threading.Channels;

namespace DataPlane.Guard.Session;

/// <summary>
/// The events that wait for the session, except admitted channels, which wait in the admission. There is no limit here because each kind
/// has one of its own (<see cref="GuardEvent"/>), and a poster may not wait: it is a relay's thread, or the monitor's reader. Thread-safe.
/// </summary>
internal sealed class SessionEvents(SessionTasks tasks, TimeProvider time)
{
    private readonly Channel<GuardEvent> _waiting = System.Threading.Channels.Channel.CreateUnbounded<GuardEvent>();

    /// <summary>Adds an event. Once the session has ended it is dropped.</summary>
    public void Post(GuardEvent next)
    {
        if (!_waiting.Writer.TryWrite(next))
        {
            next.Drop();
        }
    }

    /// <summary>Adds an event after a while.</summary>
    public void PostLater(GuardEvent next, TimeSpan delay) => _ = tasks.Run(async ending =>
    {
        try
        {
            await Task.Delay(delay, time, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Post(next);
        }
        catch (Exception e)
        {
            Post(new GuardEvent.Broken(e)); // without a timer, whatever waits for this event would wait for ever
        }
    });

    /// <summary>Takes the next event; null where none waits.</summary>
    public GuardEvent? TryTake() => _waiting.Reader.TryRead(out var next) ? next : null;

    /// <summary>Waits until an event is there. Returns false when none will come any more.</summary>
    public Task<bool> WaitAsync() => _waiting.Reader.WaitToReadAsync().AsTask();

    /// <summary>Drops the events that wait, and all that are posted from now on.</summary>
    public void Close()
    {
        _waiting.Writer.TryComplete();
        while (TryTake() is { } left)
        {
            left.Drop();
        }
    }
}
