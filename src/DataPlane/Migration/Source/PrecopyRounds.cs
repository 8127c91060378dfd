using DataPlane.Memory;

namespace DataPlane.Migration.Source;

/// <summary>
/// The rounds of pages while the guest runs. Each round sends what was written since the round before, until what is left fits the allowed
/// downtime.
/// </summary>
internal sealed class PrecopyRounds : IDisposable
{
    private readonly SourcePlan _plan;
    private readonly RamSections _sections;
    private readonly RoundFigures _figures;
    private readonly SourceProgress _progress;
    private readonly GuestPageSet _first;
    private readonly PageFeed _feed;
    private IDirtyTracker? _tracker; // set before the first round of a running guest; used by the migration's own flow alone

    /// <param name="plan">The guest, and how long it may stand still.</param>
    /// <param name="sections">Sends the pages of a round.</param>
    /// <param name="figures">Gets what the rounds tell.</param>
    /// <param name="progress">Reports each round.</param>
    public PrecopyRounds(SourcePlan plan, RamSections sections, RoundFigures figures, SourceProgress progress)
    {
        _plan = plan;
        _sections = sections;
        _figures = figures;
        _progress = progress;
        _first = new GuestPageSet(plan.Guest.Memory);
        _first.SetAll();
        _feed = new PageFeed(plan.Guest.Memory, _first, plan.Guest.PagesHoldingData);
    }

    /// <summary>Whether the guest ran when the rounds began.</summary>
    public bool GuestRan => _tracker is not null;

    /// <summary>Sends rounds while the guest runs. Returns the pages that are left to send when it has stopped.</summary>
    /// <param name="postcopySwitch">Ends the rounds when postcopy is requested; null if the migration cannot go over to it.</param>
    public async Task<GuestPageSet> RunAsync(PostcopySwitch? postcopySwitch)
    {
        var pages = _first;
        if (!_plan.Guest.IsRunning)
        {
            return pages;
        }

        await _progress.EnterAsync(MigrationPhase.Precopy).ConfigureAwait(false);
        postcopySwitch?.WhenRequested(_feed.Stop);
        _tracker = _plan.Guest.CreateDirtyTracker();
        _tracker.Start();
        var dirty = new GuestPageSet(_plan.Guest.Memory);
        while (true)
        {
            var started = _plan.Time.GetTimestamp();
            await SendAsync(pages).ConfigureAwait(false);
            dirty.ClearAll();
            _tracker.Collect(dirty);
            if (postcopySwitch?.IsRequested == true)
            {
                _feed.RemoveTaken();
                dirty.UnionWith(pages);
                return dirty;
            }

            (pages, dirty) = (dirty, pages);
            if (await FitsAsync(pages.CountSet(), _plan.Time.GetElapsedTime(started)).ConfigureAwait(false))
            {
                return pages;
            }
        }
    }

    /// <summary>Sends <paramref name="pages"/> as one round; they must not change meanwhile.</summary>
    public async Task SendAsync(GuestPageSet pages)
    {
        _feed.Restart(pages);
        _figures.Begin(_feed, pages.CountSet());
        await _sections.SendRoundAsync(_feed).ConfigureAwait(false);
    }

    /// <summary>Adds to <paramref name="remaining"/> what the guest wrote up to now, when it has just been stopped.</summary>
    public void CollectLast(GuestPageSet remaining)
    {
        var tracker = _tracker
            ?? throw new InvalidOperationException("the guest stood still when the migration began, and ran when it was to be stopped");
        tracker.Collect(remaining);
        tracker.Stop();
    }

    /// <summary>Ends the tracking of a migration that has failed.</summary>
    public void StopTracking() => _tracker?.Stop();

    public void Dispose() => _tracker?.Dispose();

    /// <summary>
    /// Measures the round that has just ended. Returns whether <paramref name="remaining"/> pages fit the allowed downtime.
    /// </summary>
    private async Task<bool> FitsAsync(long remaining, TimeSpan elapsed)
    {
        var (round, pages, expected) = _figures.Measure(remaining, elapsed);
        MigrationLog.Round(_plan.Logger, round, pages, elapsed, remaining, expected);
        await _progress.ReportAsync().ConfigureAwait(false);
        return expected <= _plan.Options.MaxDowntime;
    }
}
