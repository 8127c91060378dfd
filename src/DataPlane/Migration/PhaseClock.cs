namespace DataPlane.Migration;

/// <summary>The phases of one migration and how long each took. Phases only advance; thread-safe.</summary>
internal sealed class PhaseClock(TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly List<PhaseDuration> _done = [];
    private long _start = time.GetTimestamp();
    private long _phaseStart = time.GetTimestamp();
    private MigrationPhase _phase = MigrationPhase.Connecting;

    public MigrationPhase Phase
    {
        get
        {
            lock (_gate)
            {
                return _phase;
            }
        }
    }

    public TimeSpan Elapsed
    {
        get
        {
            lock (_gate)
            {
                return time.GetElapsedTime(_start);
            }
        }
    }

    /// <summary>Begins to count anew: a destination's clock starts with its first channel, not when it begins to listen.</summary>
    public void Restart()
    {
        lock (_gate)
        {
            _start = _phaseStart = time.GetTimestamp();
        }
    }

    /// <summary>Enters <paramref name="phase"/>. Returns false if the migration is in that phase or a later one already.</summary>
    public bool Enter(MigrationPhase phase)
    {
        lock (_gate)
        {
            if (phase <= _phase)
            {
                return false;
            }

            var now = time.GetTimestamp();
            _done.Add(new PhaseDuration(_phase, time.GetElapsedTime(_phaseStart, now)));
            _phaseStart = now;
            _phase = phase;
            return true;
        }
    }

    public IReadOnlyList<PhaseDuration> Finished()
    {
        lock (_gate)
        {
            return [.. _done];
        }
    }
}
