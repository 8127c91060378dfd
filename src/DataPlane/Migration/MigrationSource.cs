using DataPlane.Migration.Source;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane;

/// <summary>
/// Moves a guest from here to a destination while it runs: by precopy, over the main channel or over multifd channels, or by postcopy, in
/// which the memory follows the guest.
/// </summary>
/// <remarks>
/// <para>An instance runs one migration at a time. All members are thread-safe.</para>
/// <para>The guest belongs here until the last byte of the stream, or in postcopy the first byte of the package, is handed to the network;
/// whatever fails before that, the guest runs on here. From then on the destination decides. If its SHUT does not come, the outcome is
/// unknown: the guest stays stopped here, and only the operator can decide (specification, 2-main-stream section 4.4).</para>
/// </remarks>
public sealed class MigrationSource
{
    private readonly IMigratableGuest _guest;
    private readonly MigrationSourceOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private PostcopySwitch _switch = new();
    private readonly LinkRequests _linkRequests = new();
    private int _running;

    /// <summary>Creates a source for <paramref name="guest"/>.</summary>
    /// <param name="guest">The guest, and the host's part of the migration.</param>
    /// <param name="options">How to send the guest.</param>
    /// <param name="logger">The log; null for none.</param>
    /// <param name="timeProvider">The clock; null for the system's.</param>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range.</exception>
    public MigrationSource(IMigratableGuest guest, MigrationSourceOptions options, ILogger<MigrationSource>? logger = null,
        TimeProvider? timeProvider = null)
    {
        ArgumentNullException.ThrowIfNull(guest);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _guest = guest;
        _options = options;
        _logger = HostLogger.Of(logger);
        _time = timeProvider ?? TimeProvider.System;
    }

    /// <summary>
    /// Goes over to postcopy as soon as the destination answers: the round under way ends, the guest stops here and starts there, and the
    /// rest of its memory follows. A call before the migration applies to that migration. It has no effect once the migration has begun to
    /// end by precopy.
    /// </summary>
    /// <remarks>
    /// A call after the end of a migration is one before the next: whoever wants to try again without postcopy creates a new instance if a
    /// call may still be on its way.
    /// </remarks>
    /// <exception cref="InvalidOperationException"><see cref="MigrationSourceOptions.Postcopy"/> is not set.</exception>
    public void SwitchToPostcopy()
    {
        if (!_options.Postcopy)
        {
            throw new InvalidOperationException($"the migration was not prepared for it: option {nameof(_options.Postcopy)} is not set");
        }

        _switch.Request();
    }

    /// <summary>
    /// Goes on, over new connections, with a migration that has lost its link in postcopy (<see cref="MigrationProgress.IsPaused"/>). If
    /// these connections are lost too, before or after pages flow, the migration waits again. A QEMU before 8.2 takes one attempt only, and
    /// dies if it fails.
    /// </summary>
    /// <param name="destination">The address at which the destination waits now.</param>
    /// <param name="cancellationToken">
    /// Ends the wait for the outcome, not the attempt: <see cref="Pause"/> ends that, and so does cancelling the migration.
    /// </param>
    /// <returns>A task that completes when pages flow again. It need not be awaited, and must not be within a progress report.</returns>
    /// <exception cref="InvalidOperationException">No migration waits for a new link; thrown at once, not by the task.</exception>
    /// <exception cref="MigrationException">
    /// The attempt has failed; <see cref="Exception.InnerException"/> says why, as <see cref="MigrationProgress.PauseReason"/> does. The
    /// migration is paused as before and can be resumed again, unless it has ended meanwhile.
    /// </exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled. The attempt goes on.</exception>
    public Task ResumeAsync(ChannelAddress destination, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        var request = _linkRequests.TryResume(destination)
            ?? throw new InvalidOperationException("no migration waits for a new link");
        var told = request.Outcome.WaitAsync(cancellationToken);
        // A host that drops the task finds the outcome in the progress, and TaskScheduler.UnobservedTaskException must not tell it again.
        _ = told.ContinueWith(
            static task => _ = task.Exception, CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        return told;
    }

    /// <summary>
    /// Gives the link of a postcopy up, as if the network had broken it: for a link that is half dead, which only timeouts of the network
    /// would notice. The migration then waits for <see cref="ResumeAsync"/>. While a new link is being tried, this ends the attempt.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// No migration is in postcopy with a link, the destination has not confirmed yet that the guest starts there, or
    /// <see cref="MigrationSourceOptions.RecoveryTimeout"/> is zero.
    /// </exception>
    public void Pause()
    {
        if (!_linkRequests.TryBreak())
        {
            throw new InvalidOperationException("no migration has a link in postcopy that could be given up");
        }
    }

    /// <summary>Connects to <paramref name="destination"/> and moves the guest there.</summary>
    /// <param name="destination">The address at which the destination listens; all channels go there.</param>
    /// <param name="progress">
    /// Receives a report at every change of phase, after every round and at each interval. It is called on any thread, one call at a time,
    /// and must return at once. What it throws is ignored.
    /// </param>
    /// <param name="cancellationToken">
    /// Cancels the migration at any moment up to the hand-over; the guest then runs on here. Afterwards it only ends the wait for
    /// <see cref="ResumeAsync"/>, and the migration fails with the reason <see cref="FailureReason.OutcomeUnknown"/> or
    /// <see cref="FailureReason.GuestAtDestination"/>.
    /// </param>
    /// <returns>What the completed migration was like.</returns>
    /// <exception cref="MigrationException">
    /// The migration failed. Unless its reason is <see cref="FailureReason.OutcomeUnknown"/> or
    /// <see cref="FailureReason.GuestAtDestination"/>, the guest runs on here; if <see cref="IMigratableGuest.ResumeAsync"/> has failed, it
    /// stands still here, and the message says so.
    /// </exception>
    /// <exception cref="OperationCanceledException">The migration was cancelled; the guest runs on here.</exception>
    /// <exception cref="InvalidOperationException">Another call is under way.</exception>
    /// <exception cref="ArgumentException">
    /// <see cref="MigrationSourceOptions.HostPageSizes"/> names a block that does not exist, or a size that does not fit its block.
    /// </exception>
    public async Task<MigrationReport> MigrateAsync(
        ChannelAddress destination,
        IProgress<MigrationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        if (Interlocked.Exchange(ref _running, 1) != 0)
        {
            throw new InvalidOperationException("a migration of this guest is under way");
        }

        try
        {
            var plan = new SourcePlan(_guest, _options, destination, _logger, _time);
            var session = new SourceSession(plan, _switch, _linkRequests, progress);
            await using (session.ConfigureAwait(false))
            {
                return await session.RunAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _switch = new PostcopySwitch();
            Volatile.Write(ref _running, 0);
        }
    }
}
