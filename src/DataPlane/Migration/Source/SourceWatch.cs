using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// Notices when nothing moves any more, and says what that may mean. Up to the hand-over it watches over the migration as a whole; beyond
/// that, whoever waits for something sets a limit.
/// </summary>
internal sealed class SourceWatch : IDisposable
{
    private readonly SourcePlan _plan;
    private readonly SourceLinks _links;
    private readonly DestinationAnswers _answers;
    private readonly PostcopySender? _postcopy;
    private readonly SendLimit? _limit;
    private readonly HostWork _work;
    private readonly SourceFailure _failure;
    private readonly StallWatch? _stall;
    private readonly PeerLiveness? _liveness;

    /// <param name="plan">Has the time limits.</param>
    /// <param name="links">The channels that are watched.</param>
    /// <param name="answers">A PONG is a sign of life.</param>
    /// <param name="postcopy">A request for a page is a sign of life.</param>
    /// <param name="limit">Whoever waits for the rate limit gives a sign of life.</param>
    /// <param name="work">What the host does is no stall.</param>
    /// <param name="failure">Is told of a stall.</param>
    public SourceWatch(
        SourcePlan plan,
        SourceLinks links,
        DestinationAnswers answers,
        PostcopySender? postcopy,
        SendLimit? limit,
        HostWork work,
        SourceFailure failure)
    {
        _plan = plan;
        _links = links;
        _answers = answers;
        _postcopy = postcopy;
        _limit = limit;
        _work = work;
        _failure = failure;
        _stall = Start(plan.Options.EffectiveStallTimeout, CallOff);
        _liveness = PeerLiveness.Start(() => links.Channels, plan.Options.Sockets.AcknowledgementTimeout, plan.Time);
    }

    /// <summary>Ends the watch over the migration as a whole, because another limit applies from now on, or none may.</summary>
    public void EndStallLimit() => _stall?.Dispose();

    /// <summary>Leaves it to the kernel to notice that the destination's machine or network is gone.</summary>
    public void EndLiveness() => _liveness?.Dispose();

    /// <summary>
    /// Watches the stream while the guest stands still. Whatever limit there is while it runs, the guest runs again when the destination
    /// takes nothing for <see cref="MigrationSourceOptions.CommitTimeout"/>.
    /// </summary>
    public StallWatch? WhileStopped() => Start(_plan.Options.CommitTimeout, CallOff);

    /// <summary>Calls <paramref name="stalled"/> when nothing has moved for <paramref name="limit"/>; null for no limit.</summary>
    public StallWatch? Start(TimeSpan? limit, Action<ChannelException> stalled) =>
        limit is { } longest ? StallWatch.Start(_plan.Time, longest, Progress, () => stalled(Stalled(longest))) : null;

    /// <summary>Waits for what the destination has to say.</summary>
    /// <exception cref="ChannelException">It has not said it within <paramref name="limit"/>.</exception>
    public async Task WaitAsync(Task answer, TimeSpan limit)
    {
        try
        {
            await answer.WaitAsync(limit, _plan.Time, _failure.Stopped).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw Stalled(limit);
        }
    }

    public void Dispose()
    {
        _liveness?.Dispose();
        _stall?.Dispose();
    }

    /// <summary>A number that changes with every sign of life.</summary>
    private long Progress() =>
        _work.Count(_links.SentBytes + (_limit?.Pauses ?? 0) + _answers.Pongs + (_postcopy?.Totals.Requests ?? 0));

    private void CallOff(ChannelException stalled) => _failure.CallOff(stalled);

    private ChannelException Stalled(TimeSpan limit)
    {
        var channels = _plan.Options.MultifdChannels;
        var guess = _links.Current is null ? "nobody answers"
            : _answers.Pongs == 0 ? $"the destination has not begun to read: it may expect more multifd channels than {channels}"
            : channels > 0 ? "the destination reads no further: its machine type may synchronise multifd in another way, or it has stopped"
            : "the destination reads no further: it has stopped, or it is busy for longer";
        return new ChannelException(FailureReason.Stalled, ChannelId.Main,
            $"nothing moved within the time limit of {limit.TotalSeconds:0.###} s; {guess}");
    }
}
