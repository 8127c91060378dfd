using System.Net;
using DataPlane.Tool.Bench;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Serve;

/// <summary>The migration at the destination: the library's own destination fills the memory that the session keeps.</summary>
internal sealed class MigrationServeLeg(IPAddress listenAddress, ChannelOptions channelOptions, TlsCredentials? tls,
    ILogger<MigrationDestination> logger) : IServeLeg
{
    public string Name => MigrationLeg.LegName;

    public Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation)
    {
        var options = new MigrationDestinationOptions
        {
            MultifdChannels = request.Channels,
            Compression = request.Compression,
            MaxRamBytes = request.RamBytes,
            Sockets = channelOptions,
            Tls = tls,
            ProgressInterval = LegMovement.Interval,
        };
        var destination = new MigrationDestination(
            [ChannelAddress.Tcp(listenAddress.ToString(), 0)], new ServedGuest(guest), options, logger);
        return Task.FromResult<IServeLegRun>(new Run(destination));
    }

    private sealed class Run(MigrationDestination destination) : IServeLegRun
    {
        private readonly LegMovement _movement = new();

        public int Port => destination.LocalAddresses[0].Port;

        public long Progress => _movement.Value;

        public async Task<ResultMessage> RunAsync(CancellationToken cancellation)
        {
            try
            {
                var done = await destination.ReceiveAsync(_movement, cancellation).ConfigureAwait(false);
                return new ResultMessage { Seconds = done.Duration.TotalSeconds, Bytes = done.TransferredBytes };
            }
            catch (MigrationException exception)
            {
                return new ResultMessage { Error = exception.Message };
            }
        }

        public ValueTask DisposeAsync() => destination.DisposeAsync();
    }

    /// <summary>Takes the guest into memory that is there already.</summary>
    private sealed class ServedGuest(GuestMemory memory) : IIncomingGuest
    {
        public ValueTask<GuestMemory> CreateMemoryAsync(
            IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken) => new(memory);

        public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken)
        {
            _ = devices.Unwrap(WorkloadGuest.Device);
            return default;
        }

        public ValueTask StartAsync(CancellationToken cancellationToken) => default;

        public ValueTask AbandonAsync(Exception cause) => default;
    }
}
