using System.Threading.Channels;
using DataPlane.Admission;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane;

/// <summary>
/// The listener of a migration's destination: accepts connections on one or several listeners and finds out which channel each of them
/// is, by nothing but its first bytes (specification, 1-channels section 1.7). Connections may come in any order and as slowly as they
/// like, and none delays another.
/// </summary>
/// <remarks>
/// <para>A connection is refused, that is closed, when its bytes begin no channel that is expected and free, when it closes, when its
/// deadline passes, or when strangers have taken all the room. None of that touches the channels that are admitted.</para>
/// <para>One background thread does all of the work. Any thread may use the members. Admission goes on until it is disposed of: connections
/// that come when everything expected is admitted are refused, and <see cref="ExpectRecovery"/> and <see cref="StartAnew"/> free places
/// again.</para>
/// </remarks>
public sealed class ChannelAdmission : IAsyncDisposable
{
    /// <summary>
    /// The most channels that wait to be taken; one that comes beyond it is reset. A migration has at most 257 and each recovery 2. Only
    /// TLS sessions that are passed through can be more, and strangers decide how many of those they open.
    /// </summary>
    private const int MaxUntaken = 1024;

    private readonly Channel<AdmittedChannel> _admitted =
        System.Threading.Channels.Channel.CreateBounded<AdmittedChannel>(new BoundedChannelOptions(MaxUntaken) { SingleWriter = true });

    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly AdmissionCounters _counters = new();
    private readonly AdmissionFacts _facts;
    private readonly AdmissionLoop _loop;
    private readonly ILogger _logger;
    private readonly Thread _thread;

    private ChannelAdmission(
        ChannelListener[] listeners,
        AdmissionOptions options,
        BlockPool pool,
        TimeProvider time,
        ILogger logger,
        IAdmissionHost host)
    {
        LocalAddresses = [.. listeners.Select(l => l.LocalAddress)];
        _logger = HostLogger.Of(logger);
        _facts = new AdmissionFacts(options, host);
        _loop = new AdmissionLoop(listeners, options, _facts, _counters, pool, time, _logger, Deliver, Report);
        _thread = new Thread(Run) { Name = "dp-admission", IsBackground = true };
    }

    /// <summary>
    /// Raised for every refused connection, on the admission thread: a handler must return at once. An exception of a handler is logged and
    /// changes nothing.
    /// </summary>
    public event EventHandler<RefusalEventArgs>? Refusal;

    /// <summary>The addresses that admission listens on, with real ports, in the order asked for.</summary>
    public IReadOnlyList<ChannelAddress> LocalAddresses { get; }

    /// <summary>The number of connections that became channels.</summary>
    public long Admitted => _counters.Admitted;

    /// <summary>The number of refused connections for every reason. A copy.</summary>
    public IReadOnlyDictionary<RefusalReason, long> Refused => _counters.Refused;

    /// <summary>The number of connections that are open and not decided yet.</summary>
    public int Undecided => _counters.Undecided;

    /// <summary>The VM's UUID: as configured, else that of the first multifd channel admitted, else <see langword="null"/>.</summary>
    public Guid? Uuid => _facts.Uuid;

    /// <summary>Listens on <paramref name="addresses"/> and starts to admit.</summary>
    /// <param name="addresses">Where to listen: at least one address. Port 0 takes a free port.</param>
    /// <param name="options">What is expected, and the limits.</param>
    /// <param name="channelOptions">Socket options, which accepted connections inherit.</param>
    /// <param name="timeProvider">The clock of every deadline.</param>
    /// <param name="logger">Takes log events 3100 to 3199.</param>
    /// <param name="host">Answers what only the host knows; needed for preempt channels and recovery.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no address, or an option is outside its range.</exception>
    /// <exception cref="IOException">An address cannot be listened on; the message says which and why.</exception>
    public static ChannelAdmission Listen(
        IReadOnlyList<ChannelAddress> addresses,
        AdmissionOptions options,
        ChannelOptions channelOptions,
        TimeProvider timeProvider,
        ILogger logger,
        IAdmissionHost? host = null) =>
        Listen(addresses, options, channelOptions, new BlockPool(), timeProvider, logger, host);

    internal static ChannelAdmission Listen(
        IReadOnlyList<ChannelAddress> addresses,
        AdmissionOptions options,
        ChannelOptions channelOptions,
        BlockPool pool,
        TimeProvider timeProvider,
        ILogger logger,
        IAdmissionHost? host = null)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        ArgumentOutOfRangeException.ThrowIfZero(addresses.Count);
        options.Validate();
        channelOptions.Validate();
        List<ChannelListener> listeners = [];
        try
        {
            foreach (var address in addresses)
            {
                listeners.Add(ChannelListener.Listen(address, channelOptions));
            }

            var admission = new ChannelAdmission([.. listeners], options, pool, timeProvider, logger, host ?? NoHost.Instance);
            admission._thread.Start();
            return admission;
        }
        catch
        {
            listeners.ForEach(l => l.Dispose());
            throw;
        }
    }

    /// <summary>
    /// Waits for the next admitted channel, in the order of admission; the caller owns it. Channels that were admitted and not taken are
    /// reset when this object is disposed of.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait. No channel is lost by that.</param>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">Admission was disposed of.</exception>
    /// <exception cref="IOException">Admission failed: a listener broke.</exception>
    public async ValueTask<AdmittedChannel> AcceptAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await _admitted.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelClosedException e)
        {
            throw e.InnerException is null ? new ObjectDisposedException(nameof(ChannelAdmission))
                : new IOException("Admission failed.", e.InnerException);
        }
    }

    /// <summary>
    /// Announces that the migration is paused and will be recovered. From the return of this call on, one more main channel, which begins
    /// with a recovery command, and one more preempt channel are admitted; multifd channels are refused, because a recovery opens none.
    /// </summary>
    /// <remarks>Call it at every pause, and at the start in front of a destination that is paused already. Never blocks.</remarks>
    public void ExpectRecovery() => _loop.Requests.ExpectRecovery();

    /// <summary>
    /// Gives up the set of channels admitted so far. From the return of this call on, every place is free again: main, multifd and preempt.
    /// A UUID that was not configured is unknown again. Main channels that are held beside the old one are judged again, the latest first.
    /// Undecided connections stay undecided, and the listeners stay open.
    /// </summary>
    /// <remarks>
    /// The caller closes the channels of the old set, including those that are still to be taken with <see cref="AcceptAsync"/>: their
    /// <see cref="AdmittedChannel.Epoch"/> is lower than the one that this call returns. Never blocks.
    /// </remarks>
    /// <returns>The epoch of the new set.</returns>
    public int StartAnew() => _loop.Requests.StartAnew();

    /// <summary>
    /// Counts, logs and reports as <see cref="RefusalReason.FalseStart"/> that an admitted main channel or set turned out to be no
    /// migration before anything came of it. Any thread may call it; returns at once.
    /// </summary>
    internal void NoteFalseStart(string peer, string detail) => _loop.Requests.NoteFalseStart(peer, detail);

    /// <summary>
    /// Announces that this recovered main channel is the source's, for a host with <see cref="IAdmissionHost.ChoosesRecovery"/>. From
    /// now on its peer may bring the preempt channel. Without effect for a channel of a set that was given up (<see cref="StartAnew"/>).
    /// Returns at once.
    /// </summary>
    public void ConfirmMain(AdmittedChannel main)
    {
        ArgumentNullException.ThrowIfNull(main);
        _loop.Requests.ConfirmMain(main);
    }

    /// <summary>Has the held connections judged again, because the host's answers have changed. Returns before that is done.</summary>
    public void Recheck() => _loop.Requests.Recheck();

    /// <summary>Describes the connections that are undecided at this moment, in no particular order, for status views. A copy.</summary>
    public IReadOnlyList<UndecidedInfo> Snapshot() => _loop.Snapshot();

    /// <summary>
    /// Whether an undecided connection may still become any channel by what it sends: one from <paramref name="peer"/>, or from anywhere if
    /// that is <see langword="null"/>.
    /// </summary>
    internal bool HasOpen(PeerGroup? peer) => _loop.HasOpen(peer);

    /// <summary>
    /// Stops listening, refuses the undecided connections, resets the admitted channels that nobody took, and completes when the thread has
    /// ended. Idempotent.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        _loop.Requests.Stop();
        await _ended.Task.ConfigureAwait(false);
        _thread.Join(); // does not wait: the thread has run its last statement
        while (_admitted.Reader.TryRead(out var unclaimed))
        {
            unclaimed.Dispose();
        }
    }

    private void Run()
    {
        // Whatever fails here, be it the log, must end this admission and not the process; and who waits for it must hear of it.
        Exception? failure = null;
        var steps = new Teardown();
        steps.Run(() =>
        {
            foreach (var address in LocalAddresses)
            {
                AdmissionLog.Listening(_logger, address.ToString());
            }

            failure = _loop.Run();
        });
        steps.Run(_loop.Dispose);
        _admitted.Writer.TryComplete(failure ?? steps.Failure);
        _ended.SetResult();
    }

    private void Deliver(AdmittedChannel channel)
    {
        if (!_admitted.Writer.TryWrite(channel))
        {
            AdmissionLog.TooManyUntaken(_logger, channel.Name, channel.Peer, MaxUntaken);
            channel.Dispose();
        }
    }

    private void Report(RefusalReason reason, string peer, string? detail)
    {
        try
        {
            Refusal?.Invoke(this, new RefusalEventArgs(reason, peer, detail));
        }
        catch (Exception e)
        {
            // An error of the host must not end admission for all connections.
            AdmissionLog.HandlerThrew(_logger, e);
        }
    }
}
