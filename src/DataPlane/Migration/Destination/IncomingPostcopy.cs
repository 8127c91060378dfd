using DataPlane.MainStream;
using DataPlane.Postcopy;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// The part of a postcopy that lies before its switch: whether a guest can run here before its memory is complete shows while the guest
/// runs at its source, and pages are discarded as the source says so. It makes the receiver of all that follows the switch.
/// </summary>
/// <param name="guest">The host's part of the migration.</param>
/// <param name="options">What to expect.</param>
/// <param name="admission">Knows of connections that may prove to be the preempt channel.</param>
/// <param name="host">Gets the receiver, which knows what admission asks.</param>
/// <param name="staging">The limit on the memory for host pages that come in pieces.</param>
/// <param name="proof">Is told what proves that the source has heard that its guest is here.</param>
/// <param name="pauses">Is told of lost links.</param>
/// <param name="phases">The phases of the migration.</param>
/// <param name="downtime">Is told when the guest stops at its source.</param>
/// <param name="logger">Takes the log events of the receiver.</param>
internal sealed class IncomingPostcopy(
    IIncomingGuest guest,
    MigrationDestinationOptions options,
    ChannelAdmission admission,
    DestinationAdmissionHost host,
    StagingBudget staging,
    HandoverProof proof,
    ILinkEvents pauses,
    PhaseReporter phases,
    DowntimeClock downtime,
    ILogger logger) : IPostcopyEvents, IAsyncDisposable
{
    private volatile PostcopyReceiver? _receiver; // is made by the flow of control that reads main

    /// <summary>The receiver; null until the RAM blocks are known, and where no postcopy is expected.</summary>
    public PostcopyReceiver? Receiver => _receiver;

    /// <summary>The receiver, if the switch is over.</summary>
    public PostcopyReceiver? Listening => _receiver is { IsListening: true } receiver ? receiver : null;

    /// <summary>Whether a lost link is a pause, so that no failure may end it. Thread-safe.</summary>
    public bool OutlivesLinks => _receiver is { OutlivesLinks: true };

    /// <summary>The receiver, where the order of the stream or of admission guarantees that there is one.</summary>
    public PostcopyReceiver Require() => _receiver ?? throw new InvalidOperationException("no postcopy has been prepared");

    void IPostcopyEvents.OnAdvise()
    {
        if (guest is IPostcopyGuest)
        {
            CheckLive(UserfaultPageStore.CheckSupported);
        }
    }

    long IPostcopyEvents.HostPageSizeOf(RamBlock block) => Require().Ledger.HostPageSize(block);

    void IPostcopyEvents.OnStop()
    {
        downtime.NoteStop();
        phases.Enter(MigrationPhase.Switchover);
    }

    void IPostcopyEvents.OnDiscard(RamBlock block, long firstPage, long pageCount) =>
        Require().Discard(block, firstPage, pageCount, atOnce: options.MultifdChannels == 0);

    /// <summary>Prepares for postcopy when the RAM blocks are known.</summary>
    /// <param name="pages">The guest's memory.</param>
    /// <param name="announced">The RAM blocks as the source announces them.</param>
    /// <param name="isAdvised">Whether the source has announced that it may switch.</param>
    /// <exception cref="ChannelException">A guest cannot run here before its memory is complete.</exception>
    public void Prepare(ReceivedPages pages, IReadOnlyList<IncomingBlock> announced, bool isAdvised)
    {
        if (!options.Postcopy)
        {
            return;
        }

        // The sizes of our host pages matter only if the guest may run here before its memory is complete.
        var sizes = announced.ToDictionary(static block => block.Name, static block => block.HostPageSize);
        var isLive = guest is IPostcopyGuest;
        if (isLive && isAdvised)
        {
            CheckSizes(pages.Memory, sizes);
            CheckLive(() => UserfaultPageStore.CheckBlocks(pages.Memory));
        }

        var settings = new PostcopyReceiverSettings
        {
            HostPageSize = block => sizes[block.Name],
            IsLive = isLive,
            KernelFeatures = options.KernelFeatures,
            Staging = staging,
            PreemptIsExpected = options.Preempt,
            MayHavePreempt = MayHavePreempt,
        };
        var receiver = new PostcopyReceiver(pages, settings, proof, pauses, logger);
        _receiver = receiver;
        host.Receiver = receiver;
    }

    /// <summary>Begins to take pages one by one, because the source has switched.</summary>
    /// <exception cref="ChannelException">A guest cannot run here before its memory is complete.</exception>
    public PostcopyReceiver Listen(Channel main, PostcopySwitchover switchover)
    {
        var receiver = Require();
        CheckLive(() => receiver.Listen(SourceTraits.Of(switchover.Pings), main, switchover.RamSection));
        return receiver;
    }

    /// <summary>Ends the receiver. May be called again.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_receiver is { } receiver)
        {
            try
            {
                await receiver.DisposeAsync().ConfigureAwait(false);
            }
            finally
            {
                host.Receiver = null;
            }
        }
    }

    /// <summary>
    /// Whether the preempt channel may have connected without having reached the receiver yet: it is undecided, or was admitted this
    /// moment.
    /// </summary>
    private bool MayHavePreempt() => options.Preempt
        && ((_receiver?.Main?.PeerGroup is { } source && admission.HasOpen(source)) || admission.Admitted > host.Handed);

    private static void CheckSizes(GuestMemory memory, Dictionary<string, long> announced)
    {
        foreach (var block in memory.Blocks)
        {
            if (block.HostPageSize > announced[block.Name])
            {
                throw new ChannelException(
                    FailureReason.NotSupported,
                    ChannelId.Main,
                    $"RAM block '{block.Name}' has pages of {announced[block.Name]} bytes at the source and of {block.HostPageSize} here: "
                    + "postcopy needs the same");
            }
        }
    }

    private static void CheckLive(Action check)
    {
        try
        {
            check();
        }
        catch (IOException failure) when (failure is not ChannelException)
        {
            throw new ChannelException(
                FailureReason.LocalFailure, ChannelId.Main,
                $"a guest cannot run here before its memory is complete: {failure.Message}", failure);
        }
    }
}
