using DataPlane.MainStream;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// The recovery from a lost link in postcopy, which is a pause: the guest stays stopped here, its pages are kept, and a new link is enough
/// to go on (specification, 4-postcopy section 4.6).
/// </summary>
internal sealed partial class SourceSession
{
    /// <summary>How long the destination may take for each of its answers (4-postcopy section 4.10).</summary>
    private static readonly TimeSpan s_recoveryTimeout = TimeSpan.FromSeconds(30);

    private readonly LinkRequests _linkRequests;
    private bool _linkIsLost;
    private bool _recovering;
    private string? _pauseReason;
    private int _recoveries;
    private long _lostLinksBytes;

    /// <summary>Waits for the host to resume with an address, as often as it takes. Returns when pages flow again.</summary>
    private async Task RecoverAsync(Exception lost, CancellationToken cancellationToken)
    {
        var postcopy = _postcopy!;
        while (true)
        {
            await EndLinkAsync().ConfigureAwait(false);
            MigrationLog.LinkLost(_logger, lost.Message);
            // Anyone who sees the pause may resume, so it is not reported before an address is waited for.
            var next = _linkRequests.WaitAsync();
            _pauseReason = lost.Message;
            (_linkIsLost, _recovering) = (true, false);
            Report();
            try
            {
                var address = await next.WaitAsync(_options.RecoveryTimeout, _time, cancellationToken).ConfigureAwait(false);
                _recovering = true;
                Report();
                await TryReconnectAsync(postcopy, address, cancellationToken).ConfigureAwait(false);
                (_linkIsLost, _recovering, _pauseReason, _recoveries) = (false, false, null, _recoveries + 1);
                MigrationLog.Resumed(_logger, address.ToString(), postcopy.PagesLeft ?? 0);
                Report();
                return;
            }
            catch (Exception ending) when (!next.IsCompleted)
            {
                _linkRequests.Leave();
                var limit = ending is TimeoutException ? $"within {_options.RecoveryTimeout.TotalSeconds:0.###} s"
                    : "before it was cancelled";
                throw NotConfirmed($"{lost.Message}; nobody resumed the migration {limit}", lost);
            }
            catch (Exception failure)
            {
                // This goes for every failure, even a fault of this process: the guest at the destination needs the memory here, and the
                // next attempt may succeed.
                _custody.On(SourceEvent.Failed);
                lost = failure switch
                {
                    TimeoutException => new ChannelException(
                        FailureReason.Stalled, ChannelId.Main,
                        $"the destination did not answer within {s_recoveryTimeout.TotalSeconds:0} s"),
                    OperationCanceledException => new ChannelException(
                        FailureReason.LocalFailure, ChannelId.Main, "the attempt to resume was given up here"),
                    _ => failure,
                };
            }
        }
    }

    /// <summary>Ends what is left of a link: after this no thread sends or reads on it.</summary>
    private async Task EndLinkAsync()
    {
        var postcopy = _postcopy!;
        Channel?[] channels = [_main, postcopy.Preempt];
        foreach (var channel in channels)
        {
            channel?.Abort();
        }

        if (_returnPath is not null)
        {
            // This comes first, because this thread answers requests itself, with what EndLinkAsync then disposes of.
            await ((Task)_returnPath).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await postcopy.EndLinkAsync().ConfigureAwait(false);
        foreach (var channel in channels.OfType<Channel>())
        {
            _lostLinksBytes += channel.BytesSent;
            await channel.DisposeAsync().ConfigureAwait(false);
        }

        (_main, postcopy.Preempt, _returnPath) = (null, null, null);
    }

    /// <summary>Makes one attempt at a new link. Cancelling the migration and <see cref="MigrationSource.Pause"/> end it at once.</summary>
    private async Task TryReconnectAsync(PostcopyHandover postcopy, ChannelAddress address, CancellationToken cancellationToken)
    {
        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            _linkRequests.Use(attempt.Cancel, static () => true);
            using (attempt.Token.Register(BreakLink))
            {
                await ReconnectAsync(postcopy, address, attempt.Token).ConfigureAwait(false);
            }
        }
        catch (Exception) when (attempt.IsCancellationRequested)
        {
            throw new OperationCanceledException(attempt.Token);
        }
        finally
        {
            _linkRequests.Use(breakLink: null);
        }
    }

    private async Task ReconnectAsync(PostcopyHandover postcopy, ChannelAddress address, CancellationToken cancellationToken)
    {
        _destination = address;
        var main = await DialAsync(address, ChannelId.Main, 0, cancellationToken).ConfigureAwait(false);
        _main = main;
        var writer = _writer = new MainStreamWriter(main.Output, main.Name);
        await ConnectPreemptAsync(PreemptTiming.WithMain, cancellationToken).ConfigureAwait(false);
        var answers = postcopy.ExpectAnswers(_guest.Memory);
        _returnPath = postcopy.Listen(main, _guest.Memory);
        PostcopyCommands.WriteBitmapQuestions(main.Output, _guest.Memory);
        await AskAsync(main, writer, answers.Missing, cancellationToken).ConfigureAwait(false);
        await ConnectPreemptAsync(PreemptTiming.AtSwitch, cancellationToken).ConfigureAwait(false);
        // Requests follow the answer to RESUME at once, so everything is ready for them before RESUME is sent.
        postcopy.Prepare(main, await answers.Missing.ConfigureAwait(false), _guest.PagesHoldingData, _postcopyLimit);
        answers.AskToResume();
        PostcopyCommands.WriteResume(main.Output);
        await AskAsync(main, writer, answers.Resumed, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Sends what has been written and waits for the answer. Each has its own limit, because much data may take that long to send. No limit
    /// ends the only attempt that a destination has.
    /// </summary>
    private async Task AskAsync(Channel main, MainStreamWriter writer, Task answer, CancellationToken cancellationToken)
    {
        var limit = _peer.RepeatsRecovery ? s_recoveryTimeout : Timeout.InfiniteTimeSpan;
        using (PeerDeadline.Start(main, limit, "a recovery was to begin", _time))
        {
            await writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }

        var ended = await Task.WhenAny(answer, _returnPath!).WaitAsync(limit, _time, cancellationToken).ConfigureAwait(false);
        await ended.ConfigureAwait(false);
        if (ended != answer)
        {
            throw ChannelException.Violation(ChannelId.Main, "the destination sent SHUT in the middle of a recovery");
        }
    }
}
