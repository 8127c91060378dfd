namespace DataPlane.Tests.Postcopy;

/// <summary>
/// Breaks a source's link while pages flow, evenly over all of them, and lets it come again at once where it has an address.
/// </summary>
internal sealed class LinkBreaker(MigrationSource source, ChannelAddress? address, long pages, int breaks) : IProgress<MigrationProgress>
{
    private int _broken;
    private bool _told;

    /// <summary>Called at the first pause.</summary>
    public Action? OnPaused { get; init; }

    public void Report(MigrationProgress value)
    {
        try
        {
            if (value.IsPaused)
            {
                if (!_told)
                {
                    OnPaused?.Invoke();
                }

                _told = true;
                if (address is not null)
                {
                    _ = source.ResumeAsync(address);
                }
            }
            else if (value.Phase == MigrationPhase.Postcopy && _broken < breaks && value.RemainingPages > 0
                && value.RemainingPages < pages * (breaks + 1 - _broken) / (breaks + 2))
            {
                source.Pause();
                _broken++;
            }
        }
        catch (InvalidOperationException)
        {
            // Too early, too late, or under way already: the next report tries again.
        }
    }
}
