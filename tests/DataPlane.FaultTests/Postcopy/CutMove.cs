using DataPlane.Tests.Postcopy;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.FaultTests.Postcopy;

/// <summary>
/// A guest that writes on moves by postcopy to a destination that runs it at once, over a network that is cut; somebody brings source and
/// destination together again for as long as both want it.
/// </summary>
internal sealed class CutMove : IProgress<MigrationProgress>, IDisposable
{
    private const long MemoryBytes = 16 << 20;

    /// <summary>No hang: an undisturbed move takes a second.</summary>
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(90);

    private readonly CapturedErrors<MigrationSource> _sourceErrors = new();
    private readonly CapturedErrors<MigrationDestination> _destinationErrors = new();
    private readonly CutCase _case;
    private MigrationSource _source = null!;
    private MigrationDestination _destination = null!;
    private CutNetwork _network = null!;
    private volatile MigrationProgress? _last;
    private volatile bool _isOver;

    private CutMove(CutCase cuts)
    {
        _case = cuts;
        var devices = new byte[64 << 10]; // so that there is a package to cut
        new Random(cuts.Seed).NextBytes(devices);
        Guest = TestGuest.Patterned(MemoryBytes, cuts.Seed, Dirty, devices: devices);
        Guest.OnPaused = _ =>
        {
            _network.OnMoment(CutMoment.Package);
            return Task.CompletedTask;
        };
        Incoming = new LiveGuest(
            Guest.Memory, RamAllocation.Default with { HugePages = false, Shared = cuts.Shared }, threads: 2, seed: cuts.Seed);
    }

    internal TestGuest Guest { get; }

    internal LiveGuest Incoming { get; }

    internal Ending Source { get; private set; } = new(null, null);

    internal Ending Destination { get; private set; } = new(null, null);

    internal int Cuts => _network.Cuts;

    internal bool Started => Incoming.Has("start");

    internal IEnumerable<string> Leaks => _sourceErrors.Messages.Concat(_destinationErrors.Messages);

    internal string Story =>
        $"{_case}\n  {_network.Story}\nsource: {Source}\ndestination: {Destination}\n  {string.Join(", ", Incoming.Calls)}\n  pauses: "
        + string.Join("\n    ", Incoming.Pauses.Select(static pause => $"{pause.Cause.Message} (unknown: {pause.OwnershipUnknown})"));

    /// <summary>Returns when both sides have ended.</summary>
    internal static async Task<CutMove> RunAsync(CutCase cuts)
    {
        var move = new CutMove(cuts);
        await move.RunAsync();
        return move;
    }

    public void Report(MigrationProgress value)
    {
        _last = value;
        _network.OnProgress(value);
    }

    public void Dispose()
    {
        Incoming.Dispose();
        Guest.Dispose();
    }

    private async Task RunAsync()
    {
        var token = TestContext.Current.CancellationToken;
        await using var destination = _destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")],
            Incoming,
            new MigrationDestinationOptions
            {
                MultifdChannels = _case.Channels,
                Postcopy = true,
                Preempt = _case.Preempt,
                CloseTimeout = TimeSpan.FromSeconds(2),
            },
            _destinationErrors);
        await using var network = _network = new CutNetwork(destination.LocalAddresses[0], _case, Guest.Memory.TotalPages)
        {
            PauseAsync = PauseAsync,
            SourceHasNoticed = () => _last is { IsPaused: true } || _isOver,
        };
        _source = new MigrationSource(Guest, Options(), _sourceErrors);
        using var sourceGivesUp = CancellationTokenSource.CreateLinkedTokenSource(token);
        using var destinationGivesUp = CancellationTokenSource.CreateLinkedTokenSource(token);
        var receiving = Ending.OfAsync(destination.ReceiveAsync(cancellationToken: destinationGivesUp.Token));
        var sending = Ending.OfAsync(_source.MigrateAsync(network.Address, this, sourceGivesUp.Token));
        var operating = OperateAsync(sending, receiving, sourceGivesUp, destinationGivesUp);
        try
        {
            await Task.WhenAll(sending, receiving, operating).WaitAsync(s_deadline, token);
        }
        catch (TimeoutException)
        {
            _isOver = true;
            var what = $"it hangs; source {State(sending)}, destination {State(receiving)}, last {_last}\n{Story}";
            // The end of the destination stops its guest's threads, which wait for pages, by a signal, and this process with them.
            await Console.Error.WriteLineAsync(what);
            Assert.Fail(what);
        }

        Source = await sending;
        Destination = await receiving;
    }

    private MigrationSourceOptions Options() => new()
    {
        MultifdChannels = _case.Channels,
        Postcopy = true,
        Preempt = _case.Preempt,
        MaxDowntime = TimeSpan.FromTicks(1),
        MaxPostcopyBytesPerSecond = 48 << 20, // time for the guest to meet missing pages
        RecoveryTimeout = TimeSpan.FromMinutes(10),
        ProgressInterval = TimeSpan.FromMilliseconds(2),
        Sockets = _case.Cuts.Any(static cut => cut.Notice == CutNotice.UserTimeout)
            ? new ChannelOptions { UserTimeout = TimeSpan.FromSeconds(2) }
            : new ChannelOptions(),
    };

    /// <summary>What an operator does: resume what is paused, and give up where the other side is through.</summary>
    private async Task OperateAsync(
        Task<Ending> sending, Task<Ending> receiving, CancellationTokenSource sourceGivesUp, CancellationTokenSource destinationGivesUp)
    {
        while (!_isOver && !(sending.IsCompleted && receiving.IsCompleted))
        {
            await Task.Delay(15);
            if (sending.IsCompleted && (await sending).Failure is not null && !receiving.IsCompleted)
            {
                // Without effect where the guest is.
                await destinationGivesUp.CancelAsync();
            }
            else if (!sending.IsCompleted && receiving.IsCompleted && _last is { IsPaused: true })
            {
                await sourceGivesUp.CancelAsync();
            }
            else if (!sending.IsCompleted && _last is { IsPaused: true })
            {
                Try(() => _network.Renew(() => _ = _source.ResumeAsync(_network.Address)));
            }
        }

        _isOver = true;
    }

    /// <summary>Without success where the destination has not confirmed: then only the network ends a link.</summary>
    private async Task PauseAsync()
    {
        var pauses = Incoming.Pauses.Count;
        for (var i = 0; i < 20 && !_isOver && !(_last is { IsPaused: true } && Incoming.Pauses.Count > pauses); i++)
        {
            if (_last is not { IsPaused: true })
            {
                Try(_source.Pause);
            }

            if (Incoming.Pauses.Count == pauses)
            {
                _destination.Pause();
            }

            await Task.Delay(10);
        }
    }

    private static void Try(Action act)
    {
        try
        {
            act();
        }
        catch (InvalidOperationException)
        {
            // Not now.
        }
    }

    private static string State(Task<Ending> side) => side.IsCompletedSuccessfully ? side.Result.ToString() : "has not ended";

    private void Dirty(TestGuest guest, int round)
    {
        foreach (var block in guest.Memory.Blocks)
        {
            for (long page = round; page < block.PageCount; page += 5)
            {
                guest.Write(block, page, (byte)(round % 3)); // some become zero again
            }
        }

        if (round == 3)
        {
            _source.SwitchToPostcopy();
        }
    }
}
