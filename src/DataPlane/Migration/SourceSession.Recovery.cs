using DataPlane.MainStream;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// A lost link in postcopy is a pause: the guest stays stopped here, its pages are kept, and a new link is enough to go on (specification,
/// 4-postcopy section 4.6).
/// </summary>
internal sealed partial class SourceSession
{
    /// <summary>How long the destination may take for each of its answers (section 4.10).</summary>
    private static readonly TimeSpan s_recoveryTimeout = TimeSpan.FromSeconds(30);

    /// <summary>A QEMU of 7.2 has one attempt, and dies if it fails: it is never given up by time.</summary>
    private static readonly Version s_repeatsRecovery = new(8, 0);

    private readonly RecoveryDesk _desk;
    private bool _linkIsLost;
    private bool _recovering;
    private string? _pauseReason;
    private int _recoveries;
    private long _lostLinksBytes;

    /// <summary>Waits for the host to come with an address, as often as it takes; returns when pages flow again.</summary>
    private async Task RecoverAsync(Exception lost, CancellationToken cancellationToken)
    {
        var postcopy = _postcopy!;
        while (true)
        {
            await EndLinkAsync().ConfigureAwait(false);
            MigrationLog.LinkLost(_logger, lost.Message);
            // Whoever sees the pause may resume: nothing says so before an address is waited for.
            var next = _desk.WaitAsync();
            _pauseReason = lost.Message;
            (_linkIsLost, _recovering) = (true, false);
            Report();
            try
            {
                var address = await next.WaitAsync(_options.RecoveryTimeout, _time, cancellationToken).ConfigureAwait(false);
                _recovering = true;
                Report();
                await ReconnectAsync(postcopy, address).ConfigureAwait(false);
                (_linkIsLost, _recovering, _pauseReason, _recoveries) = (false, false, null, _recoveries + 1);
                MigrationLog.Resumed(_logger, address.ToString(), postcopy.PagesLeft ?? 0);
                Report();
                return;
            }
            catch (Exception ending) when (!next.IsCompleted)
            {
                _desk.Leave();
                var limit = ending is TimeoutException ? $"within {_options.RecoveryTimeout.TotalSeconds:0.###} s"
                    : "before it was cancelled";
                throw NotConfirmed(postcopy, $"{lost.Message}; nobody resumed the migration {limit}", lost);
            }
            catch (Exception failure) when (failure is ChannelException or TimeoutException)
            {
                postcopy.Ownership.On(OwnershipEvent.LinkLost);
                lost = failure is TimeoutException
                    ? new ChannelException(
                        FailureReason.Stalled, "main", $"the destination did not answer within {s_recoveryTimeout.TotalSeconds:0} s")
                    : failure;
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
            // First: it answers requests itself, from what the next line gives back.
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

    private async Task ReconnectAsync(PostcopyHandover postcopy, ChannelAddress address)
    {
        _destination = address;
        var main = await DialAsync(address, "main", 0, CancellationToken.None).ConfigureAwait(false);
        _main = main;
        var writer = _writer = new MainStreamWriter(main.Output, main.Name);
        await ConnectPreemptAsync(PreemptTiming.WithMain).ConfigureAwait(false);
        var answers = postcopy.ExpectAnswers(_guest.Memory);
        _returnPath = postcopy.Listen(main, _guest.Memory);
        PostcopyCommands.WriteBitmapQuestions(main.Output, _guest.Memory);
        await writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        await AnsweredAsync(answers.Missing).ConfigureAwait(false);
        await ConnectPreemptAsync(PreemptTiming.AtSwitch).ConfigureAwait(false);
        // Requests follow the answer at once: everything is ready for them before the question.
        postcopy.Prepare(main, await answers.Missing.ConfigureAwait(false), _guest.PagesHoldingData, _postcopyLimit);
        answers.AskToResume();
        PostcopyCommands.WriteResume(main.Output);
        await writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        await AnsweredAsync(answers.Resumed).ConfigureAwait(false);
    }

    private async Task AnsweredAsync(Task answer)
    {
        var first = Task.WhenAny(answer, _returnPath!);
        var oldest = _options.Peer ?? PeerDialect.VersionOf(_options.Machine ?? _guest.MachineName);
        if (oldest is null || oldest >= s_repeatsRecovery)
        {
            await first.WaitAsync(s_recoveryTimeout, _time).ConfigureAwait(false);
        }

        var ended = await first.ConfigureAwait(false);
        await ended.ConfigureAwait(false);
        if (ended != answer)
        {
            throw ChannelException.Violation("main", "the destination said its last word in the middle of a recovery");
        }
    }
}
