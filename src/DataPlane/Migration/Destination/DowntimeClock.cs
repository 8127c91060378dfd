namespace DataPlane.Migration.Destination;

/// <summary>Measures how long the guest has stood still. One flow of control notes the stop and reads the time later.</summary>
internal sealed class DowntimeClock(TimeProvider time)
{
    private long _stop;

    /// <summary>The time since the guest stopped.</summary>
    public TimeSpan Elapsed => time.GetElapsedTime(_stop);

    /// <summary>
    /// Notes that the guest is taken to have stopped at its source now: because the source says so in postcopy, or else at the end of RAM.
    /// The first call counts.
    /// </summary>
    public void NoteStop()
    {
        if (_stop == 0)
        {
            _stop = time.GetTimestamp();
        }
    }
}
