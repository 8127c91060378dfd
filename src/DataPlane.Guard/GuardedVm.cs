using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard;

/// <summary>
/// The front door of one QEMU that waits for a migration: connections come to the guard, and only those that have proved to be a channel
/// of the migration are handed on, in an order that every version of QEMU understands.
/// </summary>
/// <remarks>
/// <para>One object serves one incoming migration with all its recoveries, because QEMU accepts one per process.</para>
/// <para>The members may be used from any thread.</para>
/// </remarks>
public sealed class GuardedVm : IAsyncDisposable
{
    private readonly GuardedVmOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <summary>Prepares a guard; nothing is opened before <see cref="StartAsync"/>.</summary>
    /// <exception cref="ArgumentException">An option is wrong; the message says which.</exception>
    public GuardedVm(GuardedVmOptions options, TimeProvider timeProvider, ILogger logger)
    {
        options.Validate();
        _options = options;
        _time = timeProvider;
        _logger = logger;
    }

    /// <summary>Where the guard listens, with real ports; empty before <see cref="StartAsync"/> has ended.</summary>
    public IReadOnlyList<ChannelAddress> LocalAddresses => throw new NotImplementedException();

    /// <summary>Asks QEMU what it expects, makes it listen, and opens the public addresses. Returns when connections are accepted.</summary>
    /// <exception cref="GuardException">QEMU cannot be reached or cannot receive a migration, or an address cannot be listened on.</exception>
    public Task StartAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>
    /// Serves the migration. Returns how it ended: <see cref="GuardState.Completed"/> or <see cref="GuardState.Failed"/>. Call it once,
    /// after <see cref="StartAsync"/>.
    /// </summary>
    /// <exception cref="OperationCanceledException">
    /// It was cancelled. Channels under way are reset then: a migration that has begun does not survive its guard.
    /// </exception>
    public Task<GuardState> RunAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>What there is to see now. Cheap enough for once a second.</summary>
    public GuardSnapshot Snapshot() => throw new NotImplementedException($"{_options} {_time} {_logger}");

    /// <summary>Closes everything: listeners, channels, QEMU's monitor. Idempotent.</summary>
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
