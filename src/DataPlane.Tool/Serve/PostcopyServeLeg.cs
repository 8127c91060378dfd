using System.Net;
using DataPlane.Postcopy;
using DataPlane.Tool.Bench;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Serve;

/// <summary>
/// The migration by postcopy at the destination: the guest runs here while its memory comes. A lost link ends the leg, because a bench
/// makes no second attempt.
/// </summary>
internal sealed class PostcopyServeLeg(IPAddress listenAddress, ChannelOptions channelOptions, TlsCredentials? tls,
    ILogger<MigrationDestination> logger, TimeProvider time) : IServeLeg
{
    public string Name => PostcopyLeg.LegName;

    public bool NeedsUntouchedMemory => true;

    public string? Obstacle => FindObstacle();

    /// <summary>What keeps a guest from running here before its memory has come; null where nothing does.</summary>
    public static string? FindObstacle() => MissingPageSupport.FindObstacle() ?? ForeignMemory.FindObstacle();

    public Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation)
    {
        var options = new MigrationDestinationOptions
        {
            MultifdChannels = request.Channels,
            Postcopy = true,
            Preempt = request.Postcopy!.Preempt,
            MaxRamBytes = request.RamBytes,
            Sockets = channelOptions,
            Tls = tls,
            ProgressInterval = LegMovement.Interval,
        };
        return Task.FromResult<IServeLegRun>(new Run(
            ChannelAddress.Tcp(listenAddress.ToString(), 0), guest, request.Postcopy, options, logger, time));
    }

    private sealed class Run : IServeLegRun
    {
        private readonly LegMovement _movement = new();
        private readonly TouchingGuest _guest;
        private readonly MigrationDestination _destination;

        public Run(ChannelAddress address, GuestMemory memory, PostcopyRequest request, MigrationDestinationOptions options,
            ILogger<MigrationDestination> logger, TimeProvider time)
        {
            _guest = new TouchingGuest(memory, request, time) { OnLost = GiveUp };
            _destination = new MigrationDestination([address], _guest, options, logger);
        }

        public int Port => _destination.LocalAddresses[0].Port;

        public long Progress => _movement.Value;

        public async Task<ResultMessage> RunAsync(CancellationToken cancellation)
        {
            using var stop = cancellation.Register(GiveUp);
            try
            {
                var done = await _destination.ReceiveAsync(_movement, cancellation).ConfigureAwait(false);
                return (_guest.Damage ?? _guest.Unreadable) is { } damage ? new ResultMessage { Error = damage } : Describe(done);
            }
            catch (MigrationException exception)
            {
                return new ResultMessage { Error = _guest.Damage ?? exception.Message };
            }
        }

        private ResultMessage Describe(MigrationReport done) => new()
        {
            Seconds = done.Duration.TotalSeconds,
            Bytes = done.TransferredBytes,
            Postcopy = new PostcopyResult
            {
                StartDelaySeconds = done.Postcopy!.StartDelay?.TotalSeconds ?? 0,
                Requests = done.Postcopy.Requests,
                RequestedPages = done.Postcopy.RequestedPages,
                Touches = _guest.Describe(),
            },
        };

        /// <summary>Ends the destination. Missing pages will not come then, and the threads that wait for them are let go.</summary>
        private void GiveUp() => _ = Task.Run(() => _destination.DisposeAsync().AsTask());

        public async ValueTask DisposeAsync()
        {
            await _destination.DisposeAsync().ConfigureAwait(false);
            _guest.Dispose();
        }
    }
}
