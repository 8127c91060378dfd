using DataPlane.MainStream;
using DataPlane.Memory;

namespace DataPlane.Migration;

/// <summary>
/// The rounds of pages while the guest runs. Each round sends what was written since the round before, until what is left fits the allowed
/// downtime.
/// </summary>
internal sealed partial class SourceSession
{
    /// <summary>
    /// The fewest pages of a round from which the bandwidth is measured: in a smaller round, connection and scheduling times outweigh it.
    /// </summary>
    private const long LeastPagesToMeasure = 2048;

    private PageFeed? _feed;
    private long _roundPages;
    private double _pagesPerSecond;
    private double _dirtyPagesPerSecond;
    private TimeSpan? _expectedDowntime;

    /// <summary>Sends rounds while the guest runs. Returns the pages that are left to send when it has stopped.</summary>
    private async Task<GuestPageSet> PrecopyAsync()
    {
        var memory = _guest.Memory;
        var pages = new GuestPageSet(memory);
        pages.SetAll();
        _feed = new PageFeed(memory, pages, _guest.PagesHoldingData);
        if (!_guest.IsRunning)
        {
            return pages;
        }

        Enter(MigrationPhase.Precopy);
        if (_postcopy is not null)
        {
            _switch.WhenRequested(_feed.Stop);
        }

        _tracker = _guest.CreateDirtyTracker();
        _tracker.Start();
        var dirty = new GuestPageSet(memory);
        while (true)
        {
            var started = _time.GetTimestamp();
            await SendPagesAsync(pages).ConfigureAwait(false);
            dirty.ClearAll();
            _tracker.Collect(dirty);
            if (_postcopy is not null && _switch.IsRequested)
            {
                _feed.RemoveTaken();
                dirty.UnionWith(pages);
                return dirty;
            }

            (pages, dirty) = (dirty, pages);
            if (Fits(pages.CountSet(), _time.GetElapsedTime(started)))
            {
                return pages;
            }
        }
    }

    /// <summary>Sends one round of pages as one section of ram, and with multifd one sync.</summary>
    private async Task SendPagesAsync(GuestPageSet pages)
    {
        _rounds++;
        _feed!.Restart(pages);
        _roundPages = pages.CountSet();
        var writer = _writer!;
        writer.BeginPages(last: false);
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        await _pages!.SendRoundAsync(_feed).ConfigureAwait(false);
        if (_zeroRecords is not null)
        {
            writer.WriteRaw(_zeroRecords.TakeRest());
        }

        WriteMark(writer);
        writer.EndSection();
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
    }

    /// <summary>
    /// Sends a sync without pages: SYNC on every multifd channel, and the mark on main unless the end of the section is the mark.
    /// </summary>
    private async Task SyncAsync(MainStreamWriter writer)
    {
        if (_multifdSender is not null)
        {
            await _multifdSender.SendSyncAsync().ConfigureAwait(false);
            WriteMark(writer);
        }
    }

    private void WriteMark(MainStreamWriter writer)
    {
        if (_multifdSender is not null && _peer.SyncsAtFlushRecords)
        {
            writer.WriteSyncMark();
        }
    }

    /// <summary>
    /// Measures the round that has just ended. Returns whether <paramref name="remaining"/> pages fit the allowed downtime.
    /// </summary>
    private bool Fits(long remaining, TimeSpan elapsed)
    {
        var seconds = Math.Max(elapsed.TotalSeconds, 1e-6);
        if (_pagesPerSecond == 0 || _roundPages >= LeastPagesToMeasure)
        {
            _pagesPerSecond = Math.Max(_roundPages / seconds, 1);
        }

        _dirtyPagesPerSecond = remaining / seconds;
        _expectedDowntime = TimeSpan.FromSeconds(Math.Min(remaining / _pagesPerSecond, TimeSpan.MaxValue.TotalSeconds / 2));
        var fits = _expectedDowntime <= _options.MaxDowntime;
        MigrationLog.Round(_logger, _rounds, _roundPages, elapsed, remaining, _expectedDowntime.Value);
        Report();
        return fits;
    }
}
