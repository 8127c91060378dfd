namespace DataPlane.Guard.Session;

/// <summary>
/// Gives the session's loop what comes next: an admitted channel, or an event. A channel goes first, so that a guard that is to retire does
/// not overlook it; after a channel an event goes first, so that a flood of TLS sessions keeps no event waiting. Only the loop uses it.
/// </summary>
/// <param name="events">The events.</param>
/// <param name="nextChannel">
/// Waits for the next channel (<see cref="PublicListener.NextAsync"/>). After anything but a channel it is not called again.
/// </param>
internal sealed class SessionInbox(SessionEvents events, Func<CancellationToken, Task<GuardEvent?>> nextChannel) : IAsyncDisposable
{
    private readonly CancellationTokenSource _ending = new();

    /// <summary>The wait for the next channel; null before the first one, and when none comes any more.</summary>
    private Task<GuardEvent?>? _channel;

    private Task<bool>? _event;
    private bool _hasTakenChannel;
    private bool _isClosed;

    /// <summary>Returns what comes next; null when nothing will come any more.</summary>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    public async ValueTask<GuardEvent?> NextAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var next = _hasTakenChannel ? events.TryTake() : await TakeChannelAsync().ConfigureAwait(false);
            next ??= _hasTakenChannel ? await TakeChannelAsync().ConfigureAwait(false) : events.TryTake();
            if (next is not null)
            {
                _hasTakenChannel = next is GuardEvent.Admitted;
                return next;
            }

            // One wait at a time: those that a channel has overtaken would pile up.
            _event = _event is { IsCompleted: false } ? _event : events.WaitAsync();
            await Task.WhenAny(_event, (Task?)_channel ?? _event).WaitAsync(cancellationToken).ConfigureAwait(false);
            if (_event is { IsCompletedSuccessfully: true } && !await _event.ConfigureAwait(false))
            {
                return null;
            }
        }
    }

    /// <summary>
    /// Ends the wait for channels. One that has come meanwhile is dropped, as those are that nobody took from the admission.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        if (_channel is not null)
        {
            (await _channel.ConfigureAwait(false))?.Drop();
        }

        _ending.Dispose();
    }

    /// <summary>Takes the next channel, or what ended the admission; null where neither is there.</summary>
    private async ValueTask<GuardEvent?> TakeChannelAsync()
    {
        if (_isClosed)
        {
            return null;
        }

        _channel ??= nextChannel(_ending.Token);
        if (!_channel.IsCompleted)
        {
            return null;
        }

        var next = await _channel.ConfigureAwait(false);
        _channel = null;
        _isClosed = next is not GuardEvent.Admitted;
        return next;
    }
}
