using DataPlane.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DataPlane.Migration;

/// <summary>Moves a guest from here to a destination while it runs: precopy, over the main channel or over multifd channels.</summary>
/// <remarks>
/// <para>One migration at a time per instance; members are thread-safe.</para>
/// <para>The guest belongs here until the last byte of the stream is handed to the network; whatever fails before that, it runs on here.
/// From then on the
/// destination decides, and if its word does not come the outcome is unknown: the guest stays stopped here and only the operator can decide
/// (specification, 2-main-stream section 4.4).</para>
/// </remarks>
public sealed class MigrationSource
{
    private readonly IMigratableGuest _guest;
    private readonly MigrationSourceOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private int _running;

    /// <summary>Creates a source for <paramref name="guest"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range.</exception>
    public MigrationSource(IMigratableGuest guest, MigrationSourceOptions options, ILogger<MigrationSource>? logger = null,
        TimeProvider? timeProvider = null)
    {
        ArgumentNullException.ThrowIfNull(guest);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _guest = guest;
        _options = options;
        _logger = logger ?? NullLogger<MigrationSource>.Instance;
        _time = timeProvider ?? TimeProvider.System;
    }

    /// <summary>Connects to <paramref name="destination"/> and moves the guest there.</summary>
    /// <param name="destination">Where the destination listens; all channels go there.</param>
    /// <param name="progress">
    /// Receives a report at every change of phase, after every round and at each interval. Called on any thread.
    /// </param>
    /// <param name="cancellationToken">
    /// Cancels at any moment up to the hand-over: the guest then runs on here. Without effect afterwards.
    /// </param>
    /// <exception cref="MigrationException">
    /// The migration failed. Unless its reason is <see cref="FailureReason.OutcomeUnknown"/>, the guest runs on here.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the guest runs on here.</exception>
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
            var session = new SourceSession(_guest, _options, progress, _logger, _time);
            await using (session.ConfigureAwait(false))
            {
                return await session.RunAsync(destination, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            Volatile.Write(ref _running, 0);
        }
    }
}
