using DataPlane.Multifd;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// Takes the channels of one migration as they come, until the migration is over, and hands each to those who read it. Main may be the last
/// of them.
/// </summary>
/// <param name="epoch">The set of channels (<see cref="AdmittedChannel.Epoch"/>) that is taken; those of another set are closed.</param>
/// <param name="admission">Admits the channels.</param>
/// <param name="host">Is told of each channel that has been handed over.</param>
/// <param name="channels">Gets every channel.</param>
/// <param name="multifd">Gets the multifd channels.</param>
/// <param name="postcopy">Gets the preempt channel, and the main channels that begin a recovery.</param>
/// <param name="setup">Is told of each channel.</param>
/// <param name="phases">The time of the migration begins with its first channel.</param>
/// <param name="failure">Ends the migration.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class ChannelArrival(
    int epoch,
    ChannelAdmission admission,
    DestinationAdmissionHost host,
    DestinationChannels channels,
    MultifdReceiver multifd,
    IncomingPostcopy postcopy,
    DestinationSetup setup,
    PhaseReporter phases,
    FirstCause failure,
    ILogger logger) : IDisposable
{
    private readonly CancellationTokenSource _over = new(); // cancelled last: a guest that is ours outlives failures
    private Task _taking = Task.CompletedTask;

    /// <summary>The set of channels that has the places after a false start; 0 before one.</summary>
    public int NextEpoch { get; private set; }

    /// <summary>Whether the places were given up, so that another migration may come.</summary>
    public bool HasLeft => NextEpoch > epoch;

    public void Start() => _taking = TakeAsync();

    /// <summary>Takes no more channels.</summary>
    public async Task EndAsync()
    {
        await _over.CancelAsync().ConfigureAwait(false);
        await _taking.ConfigureAwait(false);
    }

    /// <summary>
    /// Gives the places of this set up. No more channels are taken before the places are seen to be free: a source that connects then must
    /// not be taken for part of this set.
    /// </summary>
    public async Task LeaveAsync(string why)
    {
        await EndAsync().ConfigureAwait(false);
        admission.NoteFalseStart(channels.Peer, why);
        NextEpoch = admission.StartAnew();
    }

    public void Dispose() => _over.Dispose();

    private async Task TakeAsync()
    {
        try
        {
            while (true)
            {
                var admitted = await admission.AcceptAsync(_over.Token).ConfigureAwait(false);
                if (admitted.Epoch == epoch)
                {
                    Hand(admitted);
                }
                else
                {
                    admitted.Dispose(); // it belongs to a set that was given up
                }

                host.NoteHanded();
            }
        }
        catch (OperationCanceledException)
        {
            // The migration is over.
        }
        catch (Exception refused)
        {
            failure.Record(refused);
        }
    }

    private void Hand(AdmittedChannel admitted)
    {
        switch (admitted.Kind)
        {
            case ChannelKind.Main when admitted.Recovered:
                // It is added once it has proved to be the source's.
                postcopy.Require().AttachRecovered(admitted.Channel, () => TakeRecovered(admitted));
                break;
            case ChannelKind.Preempt:
                Add(admitted);
                postcopy.Require().AttachPreempt(admitted.Channel);
                break;
            case ChannelKind.Multifd:
                admitted.Channel.CountConsumed(MultifdInit.Size);
                Add(admitted);
                multifd.Attach(admitted.Id, admitted.Channel);
                break;
            default:
                Add(admitted);
                break;
        }
    }

    /// <summary>
    /// Takes <paramref name="admitted"/> as the link, because it has shown that it is the source's; the other recovered channels were
    /// strangers'.
    /// </summary>
    private void TakeRecovered(AdmittedChannel admitted)
    {
        host.IsPaused = false;
        Add(admitted);
        admission.ConfirmMain(admitted);
    }

    private void Add(AdmittedChannel admitted)
    {
        MigrationLog.ChannelAdmitted(logger, admitted.Channel.Name, admitted.Channel.Peer);
        if (channels.All().Length == 0)
        {
            phases.Begin();
        }

        channels.Add(admitted);
        setup.NoteChannel();
        if (failure.Token.IsCancellationRequested && !postcopy.OutlivesLinks)
        {
            admitted.Channel.Abort();
        }
    }
}
