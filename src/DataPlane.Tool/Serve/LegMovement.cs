namespace DataPlane.Tool.Serve;

/// <summary>A migration's progress as one number that changes whenever something has come. Thread-safe.</summary>
internal sealed class LegMovement : IProgress<MigrationProgress>
{
    /// <summary>How often the progress is reported: well below any time limit.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    private long _value;

    public long Value => Volatile.Read(ref _value);

    public void Report(MigrationProgress value) => Volatile.Write(ref _value, value.TransferredBytes + (long)value.Phase);
}
