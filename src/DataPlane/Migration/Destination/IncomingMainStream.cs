using DataPlane.MainStream;
using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// Reads the main stream up to the device state, and takes what it reports: the source's VM, the return path, the RAM blocks, the marks of
/// multifd, and the end of RAM. One flow of control reads; any thread may read the numbers of pages.
/// </summary>
/// <param name="guest">The host's part of the migration.</param>
/// <param name="options">What to expect, and the limits.</param>
/// <param name="identity">Takes what the source says of its VM.</param>
/// <param name="setup">Ends before the guest's memory is created.</param>
/// <param name="custody">Creates the guest's memory, and is told of a background snapshot.</param>
/// <param name="multifd">The multifd channels, which meet main at every mark.</param>
/// <param name="postcopy">Handles the switch to postcopy.</param>
/// <param name="work">Is told when the host works.</param>
/// <param name="phases">The phases of the migration.</param>
/// <param name="downtime">Is told when the guest has stopped at its source.</param>
/// <param name="failure">Ends the wait at a mark.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class IncomingMainStream(
    IIncomingGuest guest,
    MigrationDestinationOptions options,
    SourceIdentity identity,
    DestinationSetup setup,
    DestinationCustody custody,
    MultifdReceiver multifd,
    IncomingPostcopy postcopy,
    HostWork work,
    PhaseReporter phases,
    DowntimeClock downtime,
    FirstCause failure,
    TimeProvider time,
    ILogger logger) : IMainStreamEvents
{
    private ReturnPathSender? _returnPath;
    private MainStreamReader? _reader;

    /// <summary>Whether the source has opened the return path, so that it hears what the destination sends.</summary>
    public bool IsReturnPathOpen { get; private set; }

    /// <summary>The guest's memory; null until it has been created.</summary>
    public ReceivedPages? Pages { get; private set; }

    /// <summary>Whether the source has announced that it may switch to postcopy.</summary>
    public bool IsPostcopyAdvised => _reader is { IsPostcopyAdvised: true };

    /// <summary>The id of the ram section; 0 before it has begun.</summary>
    public uint RamSection => _reader?.RamSection ?? 0;

    /// <summary>The number of pages that came with their bytes on main. Thread-safe.</summary>
    public long NormalPages => _reader?.NormalPages ?? 0;

    /// <summary>The number of pages that came as zero pages on main. Thread-safe.</summary>
    public long ZeroPages => _reader?.ZeroPages ?? 0;

    /// <summary>Reads <paramref name="main"/> up to the end of the device state.</summary>
    /// <exception cref="ChannelException">The stream is broken, ends early, or asks for what is not supported here.</exception>
    public async Task<ArrivedStream> ReadAsync(Channel main, CancellationToken cancellationToken)
    {
        _returnPath = new ReturnPathSender(main);
        var settings = new MainStreamOptions
        {
            Multifd = options.MultifdChannels > 0,
            MaxRamBytes = options.MaxRamBytes,
            MaxDeviceStateBytes = options.MaxDeviceStateBytes,
            Postcopy = options.Postcopy ? postcopy : null,
        };
        var reader = new MainStreamReader(
            new StreamCursor(main.OpenReader(cancellable: true), main.Id), _returnPath, settings, this);
        _reader = reader;
        var devices = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        var switchover = reader.SwitchPings is not { } pings ? null
            : new PostcopySwitchover(pings, reader.RamSection, reader.PackageBytes, time.GetTimestamp());
        return new ArrivedStream(RequirePages(), devices, switchover);
    }

    /// <summary>Sends SHUT, which is only possible before the switch to postcopy.</summary>
    public Task SendShutAsync(bool success) => _returnPath is { } returnPath
        ? returnPath.SendShutAsync(success, CancellationToken.None)
        : throw new InvalidOperationException("main has not come yet");

    void IMainStreamEvents.OnConfiguration(ConfigurationSection configuration)
    {
        if (configuration.IgnoresShared)
        {
            throw new ChannelException(FailureReason.NotSupported, ChannelId.Main,
                "the source leaves out shared memory (x-ignore-shared): turn the capability off");
        }

        if (configuration.IsMappedRam)
        {
            throw new ChannelException(
                FailureReason.NotSupported, ChannelId.Main, "a mapped-ram stream belongs into a file, not on a connection");
        }

        identity.Take(configuration);
        phases.Enter(MigrationPhase.Setup);
    }

    async ValueTask IMainStreamEvents.OnReturnPathOpenedAsync(CancellationToken cancellationToken)
    {
        IsReturnPathOpen = true;
        var machine = identity.Configuration.MachineName;
        if (QemuCompatibility.OfSource(machine, options.SourceMachineType, options.SourceQemuVersion).AwaitsSwitchoverAck)
        {
            await _returnPath!.SendSwitchoverAckAsync(cancellationToken).ConfigureAwait(false);
            MigrationLog.SwitchoverAckSent(logger, options.SourceMachineType ?? machine);
        }
    }

    void IMainStreamEvents.OnBackgroundSnapshot()
    {
        if (guest is not ISnapshotGuest)
        {
            throw new ChannelException(
                FailureReason.NotSupported, ChannelId.Main,
                "the source takes a background snapshot, whose guest goes on there and must not be started here: "
                + "turn off capability background-snapshot");
        }

        custody.IsSnapshot = true;
    }

    async ValueTask<ReceivedPages> IMainStreamEvents.OnRamBlocksAsync(
        IReadOnlyList<RamBlockEntry> blocks, ReadOnlyMemory<byte> earlySections, CancellationToken cancellationToken)
    {
        await setup.EndAsync(cancellationToken).ConfigureAwait(false);
        var configuration = identity.Configuration;
        var machine = new IncomingMachine
        {
            Name = configuration.MachineName,
            Uuid = identity.Uuid,
            ValidatesUuid = configuration.Uuid is not null,
            AnnouncesTargetPageSize = configuration.TargetPageBits is not null,
            EarlySections = earlySections,
        };
        IncomingBlock[] announced = [.. blocks.Select(static block =>
            new IncomingBlock(block.Name, block.Length) { HostPageSize = block.PageSize })];
        GuestMemory memory;
        using (work.Begin())
        {
            memory = await custody.CreateMemoryAsync(machine, announced, cancellationToken).ConfigureAwait(false);
        }

        CheckMemory(memory, announced);
        var pages = new ReceivedPages(memory);
        Pages = pages;
        multifd.Pages = pages;
        postcopy.Prepare(pages, announced, IsPostcopyAdvised);
        phases.Enter(MigrationPhase.Precopy);
        return pages;
    }

    async Task IMainStreamEvents.OnSyncMarkAsync()
    {
        try
        {
            await multifd.Barrier.PassMarkAsync().WaitAsync(failure.Token).ConfigureAwait(false);
        }
        catch (SyncBarrierBrokenException broken)
        {
            throw new ChannelException(
                FailureReason.PeerClosed, ChannelId.Multifd(broken.ChannelId), "the channel ended before the source's next sync", broken);
        }
    }

    void IMainStreamEvents.OnRamComplete()
    {
        downtime.NoteStop();
        identity.CheckUuid();
        if (_reader!.SwitchPings is null && NormalPages + ZeroPages + multifd.NormalPages + multifd.ZeroPages == 0)
        {
            throw new ChannelException(
                FailureReason.NotSupported, ChannelId.Main,
                $"the source announced {RequirePages().Memory.TotalBytes} bytes of RAM and sent none of it: it hands them to a process on "
                + "its own host (mode cpr-transfer or cpr-exec); its guest is still there, set the parameter mode to normal");
        }

        phases.Enter(MigrationPhase.DeviceState);
    }

    private ReceivedPages RequirePages() => Pages ?? throw new InvalidOperationException("the guest's memory has not been created");

    private static void CheckMemory(GuestMemory memory, IncomingBlock[] announced)
    {
        foreach (var block in announced)
        {
            if (!memory.TryGetBlock(block.Name, out var created) || created.Length != block.Length)
            {
                throw new InvalidOperationException($"the host did not create RAM block '{block.Name}' of {block.Length} bytes");
            }
        }
    }
}
