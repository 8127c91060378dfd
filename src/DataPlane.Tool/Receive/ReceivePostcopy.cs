using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Postcopy;

namespace DataPlane.Tool.Receive;

/// <summary>
/// What <c>receive --postcopy</c> adds to the migration: its control socket, messages about pauses, and the end of a pause that lasts too
/// long. A Ctrl-C does not end a pause: a source can take its guest back only at the end of the stream.
/// </summary>
internal sealed class ReceivePostcopy : IAsyncDisposable
{
    /// <summary>A warning about a QEMU from 10.2 on, whose link may have ended before it heard that its guest is here.</summary>
    private const string ForgottenBySource =
        ". It may not have heard that its guest is here: if 'query-migrate' there says failing or failed, the guest runs there and nobody "
        + "will come, so end this with ";

    /// <summary>How long a Ctrl-C may take without a word about it.</summary>
    private static readonly TimeSpan s_untilExplained = TimeSpan.FromSeconds(2);

    private readonly MigrationDestination _destination;
    private readonly CommandContext _context;
    private readonly StrandedSource _stranded;
    private readonly PostcopyControl? _control;
    private readonly TimeSpan _limit;
    private readonly CancellationTokenRegistration _stopped;
    private readonly CancellationTokenSource _ended = new(); // without a timer it holds nothing to dispose of
    private readonly Lock _gate = new();
    private CancellationTokenSource? _resumed; // without a timer it holds nothing to dispose of

    public ReceivePostcopy(MigrationDestination destination, string path, string? told, TimeSpan limit, CommandContext context)
    {
        _destination = destination;
        _context = context;
        _limit = limit;
        Controlled = new ControlledMigration("receive", path, destination.LocalAddresses[0])
        {
            GiveUpLink = destination.Pause,
            OnPaused = OnPaused,
            OnResumed = OnResumed,
        };
        _stranded = new StrandedSource(destination, Controlled, limit, context);
        _control = PostcopyControl.Open(told, Controlled, context);
        _stopped = context.Stop.Register(() => _ = ExplainAsync());
    }

    public ControlledMigration Controlled { get; }

    /// <summary>The path of the control socket; null without one.</summary>
    public string? Path => _control?.Path;

    /// <summary>Whether a pause has lasted too long.</summary>
    public bool HasGivenUp { get; private set; }

    /// <summary>
    /// The source that this failure may have left without its guest; null where there can be none. A pause in which the migration failed
    /// ends here, because its limit is not the limit of the wait for the source.
    /// </summary>
    public StrandedSource? StrandedBy(Exception failure)
    {
        End();
        return !HasGivenUp && _stranded.MayExist(failure) ? _stranded : null;
    }

    /// <summary>
    /// Says why the command goes on after a Ctrl-C, if it still does after a moment: a fetch of which the source has heard ends only with
    /// the source's stream.
    /// </summary>
    private async Task ExplainAsync()
    {
        await Task.Delay(s_untilExplained, _context.Time, _ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_ended.IsCancellationRequested || Controlled.Last is not { Phase: MigrationPhase.Postcopy } last)
        {
            return;
        }

        var until = last.IsPaused ? "come again and sent the rest" : "sent the rest";
        _context.Warn($"told to stop, and waiting on: no source takes its guest back before it has {until}" + (last.OwnershipUnknown
            ? ForgottenBySource + "a second Ctrl-C" : "; a second Ctrl-C ends this at once, and leaves the source as it is"));
    }

    private void OnPaused(string reason, bool isAttempt)
    {
        _context.Warn($"the link is lost, paused: {reason}; waiting for the source to come again to {_destination.LocalAddresses[0]} "
            + "(QEMU: 'migrate -r', ours: 'dataplane postcopy resume'); after a Ctrl-C it gets its guest back when it has come"
            + (Controlled.Last is { OwnershipUnknown: true } ? ForgottenBySource + "Ctrl-C twice" : ""));
        lock (_gate)
        {
            _resumed?.Cancel();
            if (_ended.IsCancellationRequested)
            {
                return;
            }

            _resumed = new CancellationTokenSource();
            _ = WatchAsync(_resumed.Token);
        }
    }

    private void OnResumed()
    {
        _context.Note("the source has come again, pages flow");
        EndPause();
    }

    /// <summary>Gives up when the pause exceeds its limit.</summary>
    private async Task WatchAsync(CancellationToken resumed)
    {
        using var limit = new CancellationTokenSource(_limit, _context.Time);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, resumed);
        await Task.Delay(Timeout.Infinite, over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_gate)
        {
            if (resumed.IsCancellationRequested)
            {
                return;
            }

            HasGivenUp = true;
        }

        // Nobody can connect any more, so nothing more comes for the guest.
        await _destination.DisposeAsync().ConfigureAwait(false);
    }

    private void EndPause()
    {
        lock (_gate)
        {
            _resumed?.Cancel();
            _resumed = null;
        }
    }

    /// <summary>Notes that the migration has ended: the present pause ends, and no other one begins.</summary>
    private void End()
    {
        _ended.Cancel(); // before the look under the lock, so that a pause that begins now sees it or is ended
        EndPause();
    }

    public async ValueTask DisposeAsync()
    {
        _stopped.Unregister();
        End();
        if (_control is not null)
        {
            await _control.DisposeAsync().ConfigureAwait(false);
        }
    }
}
