using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>How a source sends its guest.</summary>
public sealed record MigrationSourceOptions
{
    /// <summary>Multifd channels, 0 to 255; the destination must expect the same number. Default 0: pages go on the main channel.</summary>
    public int MultifdChannels { get; init; }

    /// <summary>How long the guest may stand still. Rounds go on until what is left fits, at the bandwidth measured. Default 300 ms.</summary>
    public TimeSpan MaxDowntime { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>How long the destination may take for its word after the whole stream has been sent; then the outcome is unknown. Default 60 s.</summary>
    public TimeSpan CommitTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Longest time without a byte moving, before the migration fails; null waits for ever. Default null.</summary>
    public TimeSpan? StallTimeout { get; init; }

    /// <summary>How often progress is reported between changes of phase. Default 1 s.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Socket options of every channel.</summary>
    public ChannelOptions Channels { get; init; } = new();

    /// <summary>Refuses values that cannot work.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Names the option, its value and the allowed range.</exception>
    public void Validate()
    {
        OptionChecks.InRange(MultifdChannels, 0, 255, nameof(MultifdChannels));
        OptionChecks.Positive(MaxDowntime, nameof(MaxDowntime));
        OptionChecks.Positive(CommitTimeout, nameof(CommitTimeout));
        OptionChecks.Positive(StallTimeout ?? TimeSpan.MaxValue, nameof(StallTimeout));
        OptionChecks.Positive(ProgressInterval, nameof(ProgressInterval));
        Channels.Validate();
    }
}
