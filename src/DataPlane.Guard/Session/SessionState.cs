using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// Where a guarded migration stands. The session's loop changes it, and so does the owner that stops it; any thread reads.
/// </summary>
internal sealed class SessionState(string name, TimeProvider time, ILogger logger)
{
    private readonly Lock _gate = new(); // one thread changes the state at a time

    /// <summary>One object, so that no thread sees a state with the time or the failure of another.</summary>
    private volatile Standing _standing = new(GuardState.Waiting, 0, null);

    public GuardState Current => _standing.State;

    /// <summary>The reason of the failure; null unless the migration has failed.</summary>
    public string? Failure => _standing.Failure;

    /// <summary>Whether QEMU has been given the channels, and the link is not known to be lost.</summary>
    public bool IsUnderWay => Current is GuardState.Relaying or GuardState.Postcopy or GuardState.Recovering;

    /// <summary>Whether the migration has ended, well or not.</summary>
    public bool IsOver => Current is GuardState.Completed or GuardState.Failed;

    /// <summary>Returns how long the migration has been in this state; null where it is in another.</summary>
    public TimeSpan? TimeIn(GuardState state) =>
        _standing is { } standing && standing.State == state ? time.GetElapsedTime(standing.Since) : null;

    /// <summary>Enters a state. An end is final: whatever else the session has still to take changes nothing then.</summary>
    public void Enter(GuardState state, string? failure = null)
    {
        GuardState old;
        lock (_gate)
        {
            old = Current;
            if (old == state || old is GuardState.Completed or GuardState.Failed or GuardState.Stopped)
            {
                return;
            }

            _standing = new Standing(state, time.GetTimestamp(), failure);
        }

        GuardLog.StateChanged(logger, name, old, state);
    }

    private sealed record Standing(GuardState State, long Since, string? Failure);
}
