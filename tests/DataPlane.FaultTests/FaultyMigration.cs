using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.FaultTests;

/// <summary>How one side ended: with a report, or with the failure.</summary>
internal sealed record Ending(MigrationReport? Report, MigrationException? Failure)
{
    internal bool Succeeded => Report is not null;

    /// <summary>Neither: somebody gave up, and the guest is at its source.</summary>
    internal bool WasCancelled => Report is null && Failure is null;

    internal bool IsUnknown => Failure?.Reason == FailureReason.OutcomeUnknown;

    /// <summary>Waits for it.</summary>
    internal static async Task<Ending> OfAsync(Task<MigrationReport> side)
    {
        try
        {
            return new Ending(await side, null);
        }
        catch (MigrationException failure)
        {
            return new Ending(null, failure);
        }
        catch (OperationCanceledException)
        {
            return new Ending(null, null);
        }
    }

    public override string ToString() =>
        Report is not null ? "done" : Failure is null ? "cancelled" : $"{Failure.Reason}: {Failure.Message}";
}

/// <summary>Our source to our destination through a proxy that does to one connection what a <see cref="FaultCase"/> says.</summary>
internal sealed class FaultyMigration : IDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(30);

    private readonly CapturedErrors<MigrationSource> _sourceErrors = new();
    private readonly CapturedErrors<MigrationDestination> _destinationErrors = new();

    private FaultyMigration() => Guest = TestGuest.Patterned(2 << 20, whileRunning: Dirty);

    internal TestGuest Guest { get; }

    internal TestIncomingGuest Incoming { get; } = new();

    internal Ending Source { get; private set; } = new(null, null);

    internal Ending Destination { get; private set; } = new(null, null);

    /// <summary>Bytes that the proxy passed on to the destination, by connection.</summary>
    internal IReadOnlyList<long> ForwardBytes { get; private set; } = [];

    internal IEnumerable<string> Leaks => _sourceErrors.Messages.Concat(_destinationErrors.Messages);

    /// <summary>Returns when both sides have ended; throws when they have not within the deadline.</summary>
    internal static async Task<FaultyMigration> RunAsync(FaultCase fault)
    {
        var migration = new FaultyMigration();
        await migration.RunThroughProxyAsync(fault);
        return migration;
    }

    internal static async Task<CleanRun> RunCleanAsync(int channels)
    {
        using var migration = await RunAsync(new FaultCase(0, channels, FaultKind.Delay, Connection: -1, Backward: false, 0, 0));
        Assert.True(migration.Source.Succeeded, migration.Source.ToString());
        return new CleanRun(migration.ForwardBytes[0], channels == 0 ? 0 : migration.ForwardBytes.Skip(1).Max());
    }

    public void Dispose()
    {
        Guest.Dispose();
        Incoming.Dispose();
    }

    private async Task RunThroughProxyAsync(FaultCase fault)
    {
        // What a stall must end soon, a busy machine must not end in a case that has to go well.
        TimeSpan? stall = fault.IsHarmless ? null : TimeSpan.FromMilliseconds(500);
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")],
            Incoming,
            new MigrationDestinationOptions
            {
                MultifdChannels = fault.Channels,
                StallTimeout = stall,
                CloseTimeout = TimeSpan.FromSeconds(2),
                MaxRamBytes = 64 << 20,
            },
            _destinationErrors);
        await using var proxy = FaultProxy.Start(destination.LocalAddresses[0], fault.PlanFor);
        var options = new MigrationSourceOptions
        {
            MultifdChannels = fault.Channels,
            Compression = fault.Compression,
            StallTimeout = stall,
            CommitTimeout = TimeSpan.FromSeconds(fault.IsHarmless ? 25 : 3),
            MaxDowntime = TimeSpan.FromTicks(1), // all rounds, always the same
        };
        var cancellationToken = TestContext.Current.CancellationToken;
        var receiving = Ending.OfAsync(destination.ReceiveAsync(cancellationToken: cancellationToken));
        var sending = Ending.OfAsync(
            new MigrationSource(Guest, options, _sourceErrors).MigrateAsync(proxy.Address, cancellationToken: cancellationToken));
        if (fault.Kind == FaultKind.Delay && fault.Connection >= 0)
        {
            var link = await proxy.LinkAsync(fault.Connection, cancellationToken);
            if (await Task.WhenAny(link.Stalled, sending) == link.Stalled)
            {
                await Task.Delay(fault.Value, cancellationToken);
            }

            link.Resume();
        }

        try
        {
            await Task.WhenAll(sending, receiving).WaitAsync(s_deadline, cancellationToken);
        }
        catch (TimeoutException)
        {
            Assert.Fail($"{fault}: it hangs; source {State(sending)}, destination {State(receiving)}");
        }

        Source = await sending;
        Destination = await receiving;
        List<long> bytes = [];
        for (var i = 0; i <= fault.Channels && proxy.LinkAsync(i, cancellationToken) is { IsCompletedSuccessfully: true } link; i++)
        {
            bytes.Add((await link).ForwardBytes);
        }

        ForwardBytes = bytes;
    }

    private static string State(Task<Ending> side) => side.IsCompletedSuccessfully ? side.Result.ToString() : "has not ended";

    /// <summary>
    /// Fewer pages at each collection, none at the third so that the rounds end, and some more just before the guest stops.
    /// </summary>
    private static void Dirty(TestGuest guest, int collection)
    {
        foreach (var block in guest.Memory.Blocks)
        {
            var pages = collection switch { 3 => 0, 4 => 5, _ => block.PageCount >> (collection + 1) };
            for (long page = 0; page < pages; page++)
            {
                // Some become zero again: the destination must clear them.
                guest.Write(block, page * 3 % block.PageCount, (byte)(page % 4 * collection));
            }
        }
    }
}
