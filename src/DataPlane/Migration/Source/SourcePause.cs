namespace DataPlane.Migration.Source;

/// <summary>Whether the link is lost, why, and how often it was replaced. One thread at a time changes it, any may look.</summary>
internal sealed class SourcePause
{
    private volatile State _now = State.None;
    private int _recoveries;

    /// <summary>Whether there is no link.</summary>
    public bool IsPaused => _now.IsPaused;

    /// <summary>Whether a new link is being tried.</summary>
    public bool IsRecovering => _now.IsRecovering;

    /// <summary>Why the link was lost, or the last attempt at a new one has failed; null while there is a link.</summary>
    public string? Reason => _now.Reason;

    public int Recoveries => Volatile.Read(ref _recoveries);

    public void Begin(string reason) => _now = new State(IsPaused: true, IsRecovering: false, reason);

    public void Try() => _now = _now with { IsRecovering = true };

    public void End()
    {
        Interlocked.Increment(ref _recoveries);
        _now = State.None;
    }

    private sealed record State(bool IsPaused, bool IsRecovering, string? Reason)
    {
        public static State None { get; } = new(false, false, null);
    }
}
