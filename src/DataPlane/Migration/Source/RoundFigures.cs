using DataPlane.Memory;

namespace DataPlane.Migration.Source;

/// <summary>What the rounds of precopy tell: how much is left of this one, and how long the guest would stand still. Thread-safe.</summary>
internal sealed class RoundFigures
{
    /// <summary>
    /// The fewest pages of a round from which the bandwidth is measured: in a smaller round, connection and scheduling times outweigh it.
    /// </summary>
    private const long LeastPagesToMeasure = 2048;

    private readonly Lock _gate = new(); // guards every field below
    private PageFeed? _feed;
    private int _rounds;
    private long _pages;
    private double _pagesPerSecond;
    private double _dirtyPagesPerSecond;
    private TimeSpan? _expectedDowntime;

    /// <summary>The number of rounds that have begun.</summary>
    public int Rounds
    {
        get
        {
            lock (_gate)
            {
                return _rounds;
            }
        }
    }

    /// <summary>The number of pages of the present round that nobody has begun to send.</summary>
    public long PagesLeft
    {
        get
        {
            lock (_gate)
            {
                return Math.Max(0, _pages - (_feed?.Taken ?? 0));
            }
        }
    }

    /// <summary>How fast the guest wrote to its memory during the last complete round.</summary>
    public double DirtyBytesPerSecond
    {
        get
        {
            lock (_gate)
            {
                return _dirtyPagesPerSecond * TargetPage.Size;
            }
        }
    }

    /// <summary>How long the guest would have stood still after the last complete round; null before its end.</summary>
    public TimeSpan? ExpectedDowntime
    {
        get
        {
            lock (_gate)
            {
                return _expectedDowntime;
            }
        }
    }

    /// <summary>Notes that a round over <paramref name="pages"/> pages begins.</summary>
    public void Begin(PageFeed feed, long pages)
    {
        lock (_gate)
        {
            (_feed, _pages) = (feed, pages);
            _rounds++;
        }
    }

    /// <summary>
    /// Measures the round that has just ended, after which <paramref name="remaining"/> pages are to be sent. Returns the number of the
    /// round, the number of its pages, and the expected downtime.
    /// </summary>
    public (int Round, long Pages, TimeSpan ExpectedDowntime) Measure(long remaining, TimeSpan elapsed)
    {
        var seconds = Math.Max(elapsed.TotalSeconds, 1e-6);
        lock (_gate)
        {
            if (_pagesPerSecond == 0 || _pages >= LeastPagesToMeasure)
            {
                _pagesPerSecond = Math.Max(_pages / seconds, 1);
            }

            _dirtyPagesPerSecond = remaining / seconds;
            var expected = TimeSpan.FromSeconds(Math.Min(remaining / _pagesPerSecond, TimeSpan.MaxValue.TotalSeconds / 2));
            _expectedDowntime = expected;
            return (_rounds, _pages, expected);
        }
    }
}
