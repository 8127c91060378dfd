using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>How the session takes what <see cref="MainStreamReader"/> reports while it reads the main stream.</summary>
internal sealed partial class DestinationSession : IMainStreamEvents
{
    private ConfigurationSection? _configuration;

    /// <summary>
    /// What the machine type in the stream proves about the source: a program is at least as new as its machine type. Where a mistake costs
    /// the guest, nobody's word counts.
    /// </summary>
    private QemuCompatibility Announced => QemuCompatibility.Of(_configuration!.MachineName, told: null);

    private Guid? KnownUuid => _configuration?.Uuid ?? _admission.Uuid;

    void IMainStreamEvents.OnConfiguration(ConfigurationSection configuration)
    {
        _configuration = configuration;
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

        CheckUuid();
        Enter(MigrationPhase.Setup);
    }

    /// <summary>
    /// Checks the UUID of the configuration section (capability validate-uuid) against the expected one or that of the multifd channels,
    /// which come before the section, after it, or both.
    /// </summary>
    private void CheckUuid()
    {
        if (_configuration?.Uuid is { } said && (_options.Uuid ?? _admission.Uuid) is { } expected && said != expected)
        {
            _isOfAnotherVm = _options.Uuid is not null; // without an expected UUID it differs only from one that a stranger may have sent
            throw ChannelException.Violation(
                ChannelId.Main, $"the source's VM has UUID {said}, "
                + (_options.Uuid is null ? $"but its multifd channels carry {expected}" : $"expected is {expected}"));
        }
    }

    async ValueTask IMainStreamEvents.OnReturnPathOpenedAsync(CancellationToken cancellationToken)
    {
        _returnPathOpen = true;
        var machine = _configuration!.MachineName;
        if (QemuCompatibility.OfSource(machine, _options.SourceMachineType, _options.SourceQemuVersion).AwaitsSwitchoverAck)
        {
            await _returnPath!.SendSwitchoverAckAsync(cancellationToken).ConfigureAwait(false);
            MigrationLog.SwitchoverAckSent(_logger, _options.SourceMachineType ?? machine);
        }
    }

    void IMainStreamEvents.OnBackgroundSnapshot()
    {
        if (_guest is not ISnapshotGuest)
        {
            throw new ChannelException(
                FailureReason.NotSupported, ChannelId.Main,
                "the source takes a background snapshot, whose guest goes on there and must not be started here: "
                + "turn off capability background-snapshot");
        }

        _custody.IsSnapshot = true;
    }

    async ValueTask<ReceivedPages> IMainStreamEvents.OnRamBlocksAsync(
        IReadOnlyList<RamBlockEntry> blocks, ReadOnlyMemory<byte> earlySections, CancellationToken cancellationToken)
    {
        await EndSetupAsync(cancellationToken).ConfigureAwait(false);
        var machine = new IncomingMachine
        {
            Name = _configuration!.MachineName,
            Uuid = KnownUuid,
            ValidatesUuid = _configuration.Uuid is not null,
            AnnouncesTargetPageSize = _configuration.TargetPageBits is not null,
            EarlySections = earlySections,
        };
        IncomingBlock[] announced = [.. blocks.Select(static block =>
            new IncomingBlock(block.Name, block.Length) { HostPageSize = block.PageSize })];
        GuestMemory memory;
        using (_work.Begin())
        {
            memory = await _custody.CreateMemoryAsync(machine, announced, cancellationToken).ConfigureAwait(false);
        }

        CheckMemory(memory, announced);
        var pages = new ReceivedPages(memory);
        _pages = pages;
        _multifd.Pages = pages;
        PreparePostcopy(pages, announced);
        Enter(MigrationPhase.Precopy);
        return pages;
    }

    async Task IMainStreamEvents.OnSyncMarkAsync()
    {
        try
        {
            await _multifd.Barrier.PassMarkAsync().WaitAsync(_failure.Token).ConfigureAwait(false);
        }
        catch (SyncBarrierBrokenException broken)
        {
            throw new ChannelException(
                FailureReason.PeerClosed, ChannelId.Multifd(broken.ChannelId), "the channel ended before the source's next sync", broken);
        }
    }

    void IMainStreamEvents.OnRamComplete()
    {
        NoteStop();
        CheckUuid();
        if (_reader!.SwitchPings is null && NormalPages + ZeroPages == 0)
        {
            throw new ChannelException(
                FailureReason.NotSupported, ChannelId.Main,
                $"the source announced {_pages!.Memory.TotalBytes} bytes of RAM and sent none of it: it hands them to a process on its own "
                + "host (mode cpr-transfer or cpr-exec); its guest is still there, set the parameter mode to normal");
        }

        Enter(MigrationPhase.DeviceState);
    }

    /// <summary>
    /// Notes the time at which the guest is taken to have stopped at its source: what the source says of it in postcopy
    /// (<see cref="IPostcopyEvents.OnStop"/>), or else the end of RAM.
    /// </summary>
    private void NoteStop()
    {
        if (_ramComplete == 0)
        {
            _ramComplete = _time.GetTimestamp();
        }
    }

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
