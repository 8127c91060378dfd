using System.Diagnostics;
using System.Globalization;

namespace DataPlane.TestSupport;

/// <summary>
/// The network between the two, which is cut as a <see cref="CutCase"/> says: one cut after the other, each armed when the one before has
/// happened and the source comes again.
/// </summary>
internal sealed partial class CutNetwork : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly FaultProxy _proxy;
    private readonly Queue<LinkCut> _cuts;
    private readonly long _totalPages;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly List<string> _story = [];
    private readonly List<Task> _watching = [];
    private readonly List<FaultLink> _links = [];
    private LinkCut? _armed;
    private int _accepted;
    private int _first;
    private int _generation;

    internal CutNetwork(ChannelAddress target, CutCase cuts, long totalPages)
    {
        _cuts = new Queue<LinkCut>(cuts.Cuts);
        _totalPages = totalPages;
        _ = _cuts.TryDequeue(out _armed);
        _proxy = FaultProxy.Start(target, PlanFor);
    }

    internal ChannelAddress Address => _proxy.Address;

    /// <summary>Who waits behind it from now on.</summary>
    internal void Redirect(ChannelAddress target) => _proxy.Redirect(target);

    /// <summary>Nothing more will be cut but, perhaps, when the source comes again.</summary>
    internal bool IsQuiet
    {
        get
        {
            lock (_gate)
            {
                return _armed is null && _cuts.Count == 0 && _watching.TrueForAll(static task => task.IsCompleted);
            }
        }
    }

    /// <summary>Cuts that have happened.</summary>
    internal int Cuts { get; private set; }

    /// <summary>Brings both sides to pause, as an operator does who sees that nothing moves. Returns when they have, or cannot.</summary>
    internal required Func<Task> PauseAsync { get; init; }

    /// <summary>
    /// Whether the destination survives a cut in postcopy now; it is told whether the link stands still at a byte meanwhile.
    /// </summary>
    internal Func<bool, bool> MayCut { get; init; } = static _ => true;

    /// <summary>Whether the source has found out.</summary>
    internal required Func<bool> SourceHasNoticed { get; init; }

    internal string Story
    {
        get
        {
            lock (_gate)
            {
                return string.Join("\n  ", _story);
            }
        }
    }

    internal void Note(string what)
    {
        lock (_gate)
        {
            _story.Add(string.Create(CultureInfo.InvariantCulture, $"{_clock.Elapsed.TotalMilliseconds,8:0.0} {what}"));
        }
    }

    /// <summary>The source comes again by <paramref name="resume"/>; what connects from now on is its new link.</summary>
    internal void Renew(Action resume)
    {
        lock (_gate)
        {
            resume();
            _generation++;
            _first = _accepted;
            _links.Clear();
            if (_armed is null && _cuts.TryDequeue(out var next))
            {
                _armed = next;
            }

            Note($"resume {_generation}");
        }
    }

    /// <summary>
    /// The moment of the next cut, perhaps: then the link is cut when so many more bytes have gone forward. Without <paramref
    /// name="within"/> the cut's own offset counts.
    /// </summary>
    internal void OnMoment(CutMoment moment, long? within = null)
    {
        lock (_gate)
        {
            if (_armed is not { } cut || cut.Moment != moment || _links is not [var main, ..])
            {
                return;
            }

            var bytes = within is null ? cut.Offset : (long)(cut.Share * within);
            // Behind a recovery only when something has come: before, it is not over at the source.
            if (bytes == 0 || (cut is { Kind: CutKind.OneWay, Backward: true } && _generation == 0))
            {
                Fire(cut);
            }
            else
            {
                main.StallAfter(bytes);
                _watching.Add(WatchAsync(main, cut));
            }
        }
    }

    internal void OnProgress(MigrationProgress now)
    {
        lock (_gate)
        {
            var isTime = !now.IsPaused && _armed?.Moment switch
            {
                CutMoment.Background => now.Phase >= MigrationPhase.Postcopy && now.RemainingPages > 0
                    && now.RemainingPages <= _armed.Share * _totalPages,
                CutMoment.End => now.Phase >= MigrationPhase.Commit && now.RemainingPages == 0,
                _ => false,
            };
            if (isTime && _links.Count > 0 && (IsFirstEnd || MayCut(false)))
            {
                Fire(_armed!);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        await Task.WhenAll(_watching);
    }

    /// <summary>Whether the armed cut comes at the end of the first link, where a preempt thread may be over already (7.2).</summary>
    private bool IsFirstEnd => _generation == 0 && _armed is { Moment: CutMoment.End };

    private FaultPlan PlanFor(int index)
    {
        lock (_gate)
        {
            _accepted = index + 1;
            var cut = _armed is { IsAtByte: true } armed && armed.Connection == index - _first
                && armed.Moment == CutMoment.Recovery == _generation > 0 ? armed : null;
            _watching.Add(KeepAsync(index, _generation, cut));
            var fault = new Fault { StallAt = cut?.Offset };
            return cut is { Backward: true } ? new FaultPlan { Backward = fault } : new FaultPlan { Forward = fault };
        }
    }

    private async Task KeepAsync(int index, int generation, LinkCut? cut)
    {
        try
        {
            await Task.Yield(); // the proxy is being made
            var link = await _proxy.LinkAsync(index, CancellationToken.None);
            lock (_gate)
            {
                if (generation == _generation)
                {
                    _links.Add(link);
                }
            }

            if (cut is not null)
            {
                await WatchAsync(link, cut);
            }
        }
        catch (OperationCanceledException)
        {
            // Nobody listened behind the proxy, or the test is over.
        }
    }

    private async Task WatchAsync(FaultLink link, LinkCut cut)
    {
        if (await Task.WhenAny(link.Stalled, link.Ended) == link.Stalled)
        {
            while (cut.Moment == CutMoment.Recovery && !link.Ended.IsCompleted && !MayCut(true))
            {
                await Task.Delay(10);
            }

            lock (_gate)
            {
                if (_armed == cut)
                {
                    Fire(cut);
                }
            }
        }
    }

    private void Fire(LinkCut cut)
    {
        _armed = null;
        Cuts++;
        FaultLink[] links = cut.Target switch { CutTarget.All => [.. _links], CutTarget.Main => [_links[0]], _ => [_links[^1]] };
        Note($"cut {Cuts}: {cut.Kind} of {links.Length} of {_links.Count} connections");
        foreach (var link in links)
        {
            if (cut.Kind == CutKind.Reset)
            {
                link.Cut(reset: true);
            }
            else
            {
                link.Silence(cut.Kind == CutKind.Silence || !cut.Backward, cut.Kind == CutKind.Silence || cut.Backward);
            }
        }

        // What stands still at a byte of another connection than those that were cut would stand there for ever.
        foreach (var link in _links.Except(links).Where(_ => cut.Moment != CutMoment.End))
        {
            link.Resume();
        }

        if (cut.Kind != CutKind.Reset)
        {
            _watching.Add(Task.Run(() => FindOutAsync(cut, links)));
        }
    }
}
