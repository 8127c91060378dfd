using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Postcopy;

/// <summary>
/// A real QEMU hands its guest over to a destination of ours while the link is cut, and comes again: the guest never runs twice, and where
/// it has started here all of its memory arrives.
/// </summary>
public sealed class CutFromQemuTests : QemuTest
{
    private const long Slow = 12 << 20;
    private const long PostcopyRate = 24 << 20;

    /// <summary>Later the source may have sent everything, and from 8.2 on a link that is lost then has it run the guest again.</summary>
    private const long BackgroundBytes = 24 << 20;

    private static readonly CutMoment[] s_first =
    [
        CutMoment.Setup, CutMoment.Precopy, CutMoment.Package, CutMoment.Confirmation, CutMoment.Confirmation,
        CutMoment.Background, CutMoment.Background, CutMoment.Background,
    ];

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(2);

    public static TheoryData<string, bool, int> ManySeeds => new(
        from version in QemuVersion.All
        from preempt in (bool[])[false, true]
        from seed in Enumerable.Range(201, 50)
        select new TheoryDataRow<string, bool, int>(version.Label, preempt, seed));

    [Theory]
    [InlineData("7.2", false, 208)]
    [InlineData("11.1", true, 207)]
    public Task A_guest_survives_every_cut(string version, bool preempt, int seed) => CheckAsync(CutPair.Parse(version, preempt), seed);

    [Theory(Explicit = true)]
    [MemberData(nameof(ManySeeds))]
    public Task A_guest_survives_every_cut_in_a_long_run(string version, bool preempt, int seed) =>
        CheckAsync(CutPair.Parse(version, preempt), seed);

    /// <summary>
    /// The link swallows all that follows a byte of precopy, the source switches into its own socket buffer, and only then the link is
    /// reset.
    /// </summary>
    [Theory]
    [InlineData("7.2", false)]
    [InlineData("10.0", false)]
    [InlineData("11.1", false)]
    public Task A_guest_whose_package_is_lost_in_the_network_runs_at_its_source(string version, bool preempt) =>
        LosePackageAsync(CutPair.Parse(version, preempt));

    [Theory(Explicit = true)]
    [InlineData("7.2", true)]
    [InlineData("10.0", true)]
    [InlineData("11.1", true)]
    public Task A_guest_whose_package_is_lost_in_the_network_beside_a_preempt_channel_runs_at_its_source(string version, bool preempt) =>
        LosePackageAsync(CutPair.Parse(version, preempt));

    private async Task LosePackageAsync(CutPair pair)
    {
        var machine = await StartSourceAsync(new QemuOptions { Version = pair.Version, Machine = pair.Version.NewestMachine });
        using var guest = new ReadingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], guest,
            new MigrationDestinationOptions { Postcopy = true, Preempt = pair.Preempt });
        await using var proxy = FaultProxy.Start(
            destination.LocalAddresses[0],
            static index => index == 0
                ? new FaultPlan { Forward = new Fault { DiscardAt = 2 << 20, NoticeRecord = new FaultPoint("PING", 4) } }
                : FaultPlan.None);
        // A reset throws away what has come and was not read, the list of blocks perhaps.
        var precopy = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var receiving = EndAsync(destination.ReceiveAsync(new Reports(value =>
        {
            if (value.Phase >= MigrationPhase.Precopy)
            {
                precopy.TrySetResult();
            }
        }), Token));
        await machine.PrepareMigrationAsync(
            pair.Settings with { MaxBandwidth = Slow, Parameters = [("max-postcopy-bandwidth", 1L << 20)] }, Token);
        await machine.StartMigrationAsync($"tcp:{proxy.Address}", Token);
        var main = await proxy.LinkAsync(0, Token);
        await main.ForwardDiscarding.WaitAsync(Patience.Default, Token);
        await machine.ExecuteAsync("migrate-start-postcopy", null, Token);
        await machine.WaitForStateAsync(pair.Version == QemuVersion.V111 ? "postcopy-device" : "postcopy-active", Token);
        await main.ForwardNoticed.WaitAsync(Patience.Default, Token); // the package has left
        await precopy.Task.WaitAsync(Patience.Default, Token);

        main.Cut(reset: true);

        var failure = await receiving.WaitAsync(Patience.Default, Token);
        Assert.IsType<MigrationException>(failure);
        Assert.Equal(["abandon"], guest.Calls);
        Assert.Equal(pair.Version != QemuVersion.V111, destination.MayReturnGuest); // that one takes it back by itself
        var last = machine.Console.Reports[^1];
        await ReturnAsync(machine, destination, failure.Message);
        await machine.Console.WaitForAsync(report => report.Pass > last.Pass, "the guest goes on at the source", Token);
    }

    private async Task CheckAsync(CutPair pair, int seed)
    {
        var cuts = pair.Choose(seed, s_first, [CutMoment.Background]);
        var machine = await StartSourceAsync(new QemuOptions { Version = pair.Version, Machine = pair.Version.NewestMachine });
        CutNetwork? network = null;
        using var guest = new ReadingGuest
        {
            OnLoad = async () =>
            {
                var before = network!.Cuts;
                network.OnMoment(CutMoment.Package, within: 0);
                if (network.Cuts > before)
                {
                    await Task.Delay(cuts.Cuts[0].After, Token);
                }
            },
            OnFlow = () => network!.OnMoment(CutMoment.Background, BackgroundBytes),
        };
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], guest,
            new MigrationDestinationOptions { Postcopy = true, Preempt = pair.Preempt, CloseTimeout = TimeSpan.FromSeconds(5) });
        await using var owned = network = new CutNetwork(destination.LocalAddresses[0], cuts, totalPages: 0)
        {
            PauseAsync = async () =>
            {
                destination.Pause();
                await TryAsync(machine, "migrate-pause");
            },
            SourceHasNoticed = () => machine.States is [.., "postcopy-paused" or "failed"],
        };
        using var givesUp = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var receiving = EndAsync(destination.ReceiveAsync(cancellationToken: givesUp.Token));
        await machine.PrepareMigrationAsync(
            pair.Settings with { MaxBandwidth = Slow, Parameters = [("max-postcopy-bandwidth", PostcopyRate)] }, Token);
        await machine.StartMigrationAsync($"tcp:{network.Address}", Token);
        try
        {
            await OperateAsync(receiving, machine, network, destination, guest, givesUp).WaitAsync(s_deadline, Token);
        }
        catch (TimeoutException)
        {
            Assert.Fail($"it hangs\n{Story(pair, cuts, network, machine, guest)}");
        }

        var failure = await receiving;
        var story = $"{Story(pair, cuts, network, machine, guest)}\ndestination: {failure?.Message ?? "done"}";
        TestContext.Current.TestOutputHelper?.WriteLine(story);
        await CheckOwnerAsync(machine, destination, guest, failure, story);
    }

    private static async Task CheckOwnerAsync(
        QemuProcess machine, MigrationDestination destination, ReadingGuest guest, Exception? failure, string story)
    {
        var atSource = await machine.StatusAsync(Token);
        Assert.False(atSource == "running" && guest.Runs && guest.Started, $"it runs twice\n{story}");
        if (failure is null)
        {
            Assert.True(guest.Started, story);
            await machine.WaitForMigrationAsync("completed", Token);
            var difference = guest.FirstDifference(await machine.SaveMemoryAsync(Token));
            Assert.True(difference is null, $"{difference}\n{story}");
            return;
        }

        if (destination.MayReturnGuest)
        {
            atSource = await ReturnAsync(machine, destination, story);
        }

        // From 10.2 on the source takes the guest back unless it has heard that it runs here: then it does not.
        Assert.True(!guest.Started || (atSource == "running" && !guest.Runs), $"started, and not all came\n{story}");
        if (atSource == "running")
        {
            var now = machine.Console.Reports[^1];
            await machine.Console.WaitForAsync(report => report.Pass > now.Pass, "the guest goes on at the source", Token);
        }
    }

    /// <summary>
    /// The guest never started here: where its source has paused, it gets it back. Returns the source's status once it has its guest.
    /// </summary>
    private static async Task<string> ReturnAsync(QemuProcess machine, MigrationDestination destination, string story)
    {
        // The source may not have noticed yet that the link is gone.
        await Eventually.TrueAsync(
            () => machine.States is [.., "postcopy-paused" or "failing" or "failed" or "cancelled"], $"the source notices\n{story}", Token);
        if (machine.States[^1] == "postcopy-paused")
        {
            var returning = destination.ReturnGuestAsync(cancellationToken: Token);
            await machine.ResumeMigrationAsync($"tcp:{destination.LocalAddresses[0]}", Token);
            await returning.WaitAsync(s_deadline, Token);
            await machine.WaitForMigrationAsync("failed", Token);
        }

        if (machine.Options.Version == QemuVersion.V72)
        {
            await machine.ContinueGuestAsync(Token); // this one waits to be told, also where its switch has failed
        }

        await Eventually.TrueAsync(
            async () => await machine.StatusAsync(Token) == "running", $"the guest runs at its source\n{story}", Token);
        return "running";
    }

    private static async Task OperateAsync(
        Task receiving, QemuProcess machine, CutNetwork network, MigrationDestination destination, ReadingGuest guest,
        CancellationTokenSource givesUp)
    {
        var (switched, hurried, ticks) = (false, false, 0);
        while (!receiving.IsCompleted)
        {
            await Task.Delay(50, Token);
            var state = machine.States is [.., var newest] ? newest : "";
            if (state == "failing")
            {
                await machine.ExecuteAsync("query-migrate", null, Token); // QEMU 11.1 may sleep over its own end until it is asked
            }

            var theyWait = state == "postcopy-paused";
            var weWait = guest.Pauses.Count() > guest.Calls.Count(static call => call == "resume");
            ticks = theyWait || weWait || state == "failed" ? ticks + 1 : 0;
            if (state is "failed" or "cancelled" or "completed")
            {
                if (state == "completed")
                {
                    continue;
                }
                // The source has its guest, and lets it run. Here it has been started, perhaps: until the loss is noticed here too.
                if (!guest.Started || !guest.Runs)
                {
                    await givesUp.CancelAsync();
                    await destination.DisposeAsync();
                }
                else if (ticks == 40)
                {
                    destination.Pause();
                }
            }
            else if (theyWait && weWait)
            {
                network.Renew(static () => { });
                var resume = new JsonObject { ["uri"] = $"tcp:{network.Address}", ["resume"] = true };
                await TryAsync(machine, "migrate", resume, outOfBand: false);
                ticks = 0;
                await Task.Delay(200, Token);
            }
            else if (ticks == 40)
            {
                network.Note($"only one side has noticed: QEMU is {state}");
                destination.Pause();
                await TryAsync(machine, "migrate-pause");
                ticks = 0;
            }
            else if (!switched && state == "active")
            {
                await machine.WaitForCounterAsync("ram", "transferred", 4 << 20, Token, mayFail: true);
                await TryAsync(machine, "migrate-start-postcopy", outOfBand: false);
                switched = true;
            }
            else if (!hurried && network.IsQuiet)
            {
                hurried = true;
                await TryAsync(
                    machine, "migrate-set-parameters", new JsonObject { ["max-postcopy-bandwidth"] = 1L << 40 }, outOfBand: false);
            }
        }
    }

    private static string Story(CutPair pair, CutCase cuts, CutNetwork network, QemuProcess machine, ReadingGuest guest) =>
        $"{pair}: {cuts}\n  {network.Story}\nQEMU: {string.Join(", ", machine.States)}\n"
        + $"here: {string.Join(", ", guest.Calls)}; {guest.PagesRead} pages read\n  pauses: "
        + string.Join("\n    ", guest.Pauses.Select(static pause => $"{pause.Cause.Message} (unknown: {pause.OwnershipUnknown})"));

    private static async Task TryAsync(QemuProcess machine, string command, JsonObject? arguments = null, bool outOfBand = true)
    {
        try
        {
            await (outOfBand ? machine.ExecuteOutOfBandAsync(command, arguments, Token) : machine.ExecuteAsync(command, arguments, Token));
        }
        catch (Exception refused) when (refused is QmpException or TimeoutException)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(refused.Message);
        }
    }

    private static async Task<Exception?> EndAsync(Task<MigrationReport> receiving)
    {
        try
        {
            await receiving;
            return null;
        }
        catch (Exception failure) when (failure is MigrationException or OperationCanceledException)
        {
            return failure;
        }
    }
}
