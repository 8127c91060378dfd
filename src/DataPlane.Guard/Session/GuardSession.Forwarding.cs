using DataPlane.Admission;
using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>Forwards channels to QEMU: they wait for each other, and then all go in one go.</summary>
internal sealed partial class GuardSession
{
    /// <summary>The longest wait for QEMU to notice that its link is gone, before a recovery connects anyway.</summary>
    private static readonly TimeSpan s_pauseNotice = TimeSpan.FromSeconds(3);

    /// <summary>The time that QEMU gets to notice that its link is gone where no monitor can confirm it.</summary>
    private static readonly TimeSpan s_blindNotice = TimeSpan.FromSeconds(1);

    private readonly Dictionary<ForwardingStep, (ChannelRelay Relay, ReadOnlyMemory<byte> Opening)> _held = [];
    private volatile ReturnPathTap? _tap;
    private int _sets;
    private long _setDue;

    private async ValueTask AdmitAsync(GuardEvent.Admitted admitted, CancellationToken cancellationToken)
    {
        try
        {
            await PlaceAsync(admitted, cancellationToken).ConfigureAwait(false);
        }
        // The guard has no descriptors, no memory or no thread, or has a fault: the attempt that met it is over, and the next one may come.
        // Where the migration is under way already, only this connection is lost.
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            GuardLog.NotTaken(_logger, _options.Name, admitted.Channel.Kind, admitted.Channel.Peer, e.Message);
            admitted.Channel.Dispose();
            if (State == GuardState.Waiting)
            {
                StartAnew();
            }
            else if (State is GuardState.Paused or GuardState.Recovering)
            {
                await GiveRecoveryUpAsync().ConfigureAwait(false);
            }
        }
    }

    private async ValueTask PlaceAsync(GuardEvent.Admitted admitted, CancellationToken cancellationToken)
    {
        var channel = admitted.Channel;
        if (channel.Epoch != _listener.Epoch)
        {
            channel.Dispose(); // it belongs to a set that was given up
        }
        else if (channel.Kind == ChannelKind.Tls)
        {
            AdmitSession(channel, cancellationToken);
        }
        else if (channel.Kind == ChannelKind.Preempt)
        {
            JoinPreempt(channel);
        }
        else if (channel.Recovered && State == GuardState.Paused)
        {
            await RecoverAsync(channel, cancellationToken).ConfigureAwait(false);
        }
        else if (!channel.Recovered && State == GuardState.Waiting)
        {
            await HoldAsync(channel, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            Refuse(channel);
        }
    }

    private void Refuse(AdmittedChannel channel)
    {
        GuardLog.Surplus(_logger, _options.Name, channel.Kind, channel.Peer);
        channel.Dispose();
    }

    /// <summary>
    /// Holds a channel until all of its migration are there. Before that nothing goes to QEMU: a source that gives up costs nothing then,
    /// while a QEMU that has had one of its channels must be started again. No source waits for an answer before all of its channels are
    /// connected.
    /// </summary>
    private async ValueTask HoldAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        var step = new ForwardingStep(channel.Kind, channel.Id);
        var relay = _relays.Hold(channel.Kind, channel.Id, channel.Channel);
        _held.Add(step, (relay, channel.Consumed));
        AddView(relay);
        GuardLog.Held(_logger, _options.Name, relay.Name, channel.Peer);
        // Each channel gives the others more time: the next one may be in its handshake.
        _setDue = _time.GetTimestamp() + (long)(_options.UndecidedTimeout.TotalSeconds * _time.TimestampFrequency);
        if (_held.Count == 1)
        {
            _ = PostLaterAsync(new GuardEvent.HeldForLong(++_sets), _options.UndecidedTimeout);
        }

        if (_held.Count == 1 + _target.Channels)
        {
            await ForwardAllAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask ForwardAllAsync(CancellationToken cancellationToken)
    {
        foreach ((var relay, _) in _held.Values)
        {
            relay.Claim();
        }

        if (_held.Values.Any(h => h.Relay.Ending != RelayEnding.None))
        {
            return; // the event of that end is on its way, and leads to the next attempt
        }

        Enter(GuardState.Relaying);
        _host.MainIsSettled = true; // QEMU will never take another main channel
        _listener.Recheck();
        _main = _held[new ForwardingStep(ChannelKind.Main, 0)].Relay;
        try
        {
            foreach (var step in ForwardingOrder.Steps(_target, recovery: false))
            {
                if (step.Kind == ChannelKind.Preempt)
                {
                    await ReservePreemptAsync(cancellationToken).ConfigureAwait(false);
                }
                else
                {
                    await ForwardAsync(_held[step].Relay, _held[step].Opening, cancellationToken).ConfigureAwait(false);
                }
            }

            GuardLog.HandedOver(_logger, _options.Name);
            // The blocks are asked for once more, because memory may have been plugged in since. Nobody waits for the answer.
            if (_target.Postcopy && _monitor is not null)
            {
                _ = _monitor.AskBlocksAsync(_blockList, _ending.Token);
            }
        }
        // QEMU may have had one of the channels: no other source can come to it now, whatever the cause was.
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            await FailAsync(e is ChannelException { Channel: var name } ? $"{name}: {e.Message}"
                : $"the channels cannot be handed to QEMU: {e.Message}").ConfigureAwait(false);
        }

        _held.Clear();
    }

    /// <summary>
    /// Gives up a set whose channels have not come for too long. It holds its places for the other channels of its migration, but not for
    /// ever: a stranger could block them with a single channel.
    /// </summary>
    private void TakeHeldForLong(GuardEvent.HeldForLong held)
    {
        if (held.Set != _sets || _held.Count == 0)
        {
            return;
        }

        var left = _time.GetElapsedTime(_time.GetTimestamp(), _setDue);
        if (left > TimeSpan.Zero)
        {
            _ = PostLaterAsync(held, left);
        }
        else
        {
            GiveSetUp(_held.Values.First().Relay,
                $"{_held.Count} of {1 + _target.Channels} channels came, "
                    + $"and no other for {_options.UndecidedTimeout.TotalSeconds:0.###} s");
        }
    }

    /// <summary>Gives up a set that QEMU never knew of. Its other channels are closed too, and the next set may come.</summary>
    private void GiveSetUp(ChannelRelay culprit, string why)
    {
        _listener.NoteFalseStart(culprit.Peer ?? "", why);
        StartAnew();
    }

    private void StartAnew()
    {
        _listener.StartAnew();
        foreach ((var relay, _) in _held.Values)
        {
            _relays.Abort(relay);
            RemoveView(relay);
        }

        _held.Clear();
    }

    /// <summary>Connects to QEMU and sends the channel's first bytes in one write; after that the relay begins.</summary>
    private async ValueTask ForwardAsync(ChannelRelay relay, ReadOnlyMemory<byte> opening, CancellationToken cancellationToken)
    {
        var qemu = await DialAsync(relay.ChannelId, cancellationToken, relay.Kind == ChannelKind.Multifd).ConfigureAwait(false);
        var sent = SendOpening(qemu, opening.Span);
        if (!sent.Complete)
        {
            await qemu.DisposeAsync().ConfigureAwait(false);
            throw ChannelException.From(sent, qemu, "handing its first bytes to QEMU");
        }

        if (relay.Kind == ChannelKind.Main)
        {
            _relays.JoinQemu(relay, qemu, opening.Length, NewTap(), NewMainEnd(), NewLossNotice(relay));
        }
        else
        {
            _relays.JoinQemu(relay, qemu, opening.Length, tap: null);
        }
    }

    private async ValueTask ReservePreemptAsync(CancellationToken cancellationToken)
    {
        _preempt = _relays.Reserve(ChannelKind.Preempt, 0, await DialAsync(ChannelId.Preempt, cancellationToken).ConfigureAwait(false));
        AddView(_preempt);
    }

    private void JoinPreempt(AdmittedChannel channel)
    {
        if (_preempt is not { Client: null, Ending: RelayEnding.None } preempt)
        {
            Refuse(channel);
            return;
        }

        GuardLog.PreemptFound(_logger, _options.Name, channel.Peer);
        _relays.JoinClient(preempt, channel.Channel, channel.Consumed);
        if (_tap is not null)
        {
            _tap.IgnoresRequests = true;
        }

        _requests.Clear();
        _host.MayAnswerLostLink = false;
    }

    /// <summary>Hands main and preempt to QEMU again, as soon as QEMU has noticed that its old channels are gone.</summary>
    private async ValueTask RecoverAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        await WaitAtMostAsync(_qemuPaused.Task, _monitor is null ? s_blindNotice : s_pauseNotice, cancellationToken).ConfigureAwait(false);
        _qemuPaused = NewSignal();
        _main = _relays.Hold(ChannelKind.Main, 0, channel.Channel);
        _main.Claim();
        AddView(_main);
        Enter(GuardState.Recovering);
        _host.IsPaused = false;
        try
        {
            await ForwardAsync(_main, channel.Consumed, cancellationToken).ConfigureAwait(false);
            if (_target.Preempt)
            {
                await ReservePreemptAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        // What the guard lacks now it may have at the next attempt, and the guest waits for that.
        catch (ChannelException e) when (!Shortage.Is(e))
        {
            await FailAsync($"QEMU cannot be recovered: {e.Message}").ConfigureAwait(false);
        }
    }

    /// <summary>Gives up a recovery. QEMU pauses again when the main channel that it may have had is closed.</summary>
    private async ValueTask GiveRecoveryUpAsync()
    {
        if (_main is { } main)
        {
            _relays.Abort(main);
        }

        await PauseAsync().ConfigureAwait(false);
    }

    private ReturnPathTap NewTap()
    {
        _shut = null;
        var first = new FirstNews((type, value) => Post(new GuardEvent.ReturnPathNews(type, value)));
        _tap = new ReturnPathTap(
            _requests, first.Take, JudgeHeldPages, type => GuardLog.UnknownMessage(_logger, _options.Name, type), GoBlind);
        return _tap;
    }

    /// <summary>
    /// Has held connections judged again: one may have brought the page that QEMU has just asked for. Runs on the relay's thread.
    /// </summary>
    private void JudgeHeldPages()
    {
        if (_host.MayAnswerLostLink)
        {
            _listener.Recheck();
        }
    }

    /// <summary>
    /// Notes that the return path is not understood any more. A page that was asked for cannot be told from another then, so a well-formed
    /// record must do. Runs on the relay's thread.
    /// </summary>
    private void GoBlind(string error)
    {
        GuardLog.ReturnPathLost(_logger, _options.Name, error);
        _host.IsBlind = true;
    }

    private async Task WaitAtMostAsync(Task task, TimeSpan limit, CancellationToken cancellationToken)
    {
        try
        {
            await task.WaitAsync(limit, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The caller goes on without it.
        }
    }
}
