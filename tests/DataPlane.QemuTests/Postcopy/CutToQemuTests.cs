using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using DataPlane.Images;
using DataPlane.QemuTests.Harness;
using DataPlane.QemuTests.Send;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Postcopy;

/// <summary>
/// A source of ours hands a guest over to a real QEMU while the link is cut, and comes again: the guest never runs twice, and where QEMU
/// has run it all of its memory arrives.
/// </summary>
public sealed class CutToQemuTests(SavedVms vms) : SendTest(vms)
{
    private static readonly CutMoment[] s_first =
    [
        CutMoment.Setup, CutMoment.Precopy, CutMoment.Package, CutMoment.Confirmation,
        CutMoment.Background, CutMoment.Background, CutMoment.Background, CutMoment.End,
    ];

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(2);

    public static TheoryData<string, bool, int> ManySeeds => new(
        from version in QemuVersion.All
        from preempt in (bool[])[false, true]
        from seed in Enumerable.Range(101, 50)
        select new TheoryDataRow<string, bool, int>(version.Label, preempt, seed));

    [Theory]
    [InlineData("7.2", true, 109)]
    [InlineData("7.2", true, 120)] // main is lost with its end, after the record that ends the preempt channel has arrived
    [InlineData("10.0", false, 105)]
    [InlineData("11.1", true, 109)]
    public Task A_guest_survives_every_cut(string version, bool preempt, int seed) => CheckAsync(CutPair.Parse(version, preempt), seed);

    [Theory(Explicit = true)]
    [MemberData(nameof(ManySeeds))]
    public Task A_guest_survives_every_cut_in_a_long_run(string version, bool preempt, int seed) =>
        CheckAsync(CutPair.Parse(version, preempt), seed);

    private async Task CheckAsync(CutPair pair, int seed)
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        var cuts = pair.Choose(seed, s_first, [CutMoment.Background, CutMoment.End]);
        var vm = await Vms.ReceivedAsync(pair.Version, MachineFor([pair.Version]));
        var (machine, uri) = await WaitingAsync(
            vm, pair.Version, pair.Settings, change: static options => options with { StayStopped = false });
        using var saved = MappedRamSource.Open(vm.Path);
        using var guest = new LiveGuest(saved);
        using var givesUp = CancellationTokenSource.CreateLinkedTokenSource(Token);
        MigrationProgress? last = null;
        MigrationSource? source = null;
        await using var network = new CutNetwork(ChannelAddress.Parse(uri["tcp:".Length..]), cuts, guest.Memory.TotalPages / 16)
        {
            PauseAsync = async () =>
            {
                Try(source!.Pause);
                // A QEMU 7.2 that is told to pause while it notices the loss by itself may die of it.
                if (pair.Version != QemuVersion.V72 || !await NoticesByItselfAsync(machine))
                {
                    await TryAsync(machine, "migrate-pause");
                }
            },
            // A preempt thread that does not read yet dies of it, and QEMU with it.
            MayCut = stands => !pair.Preempt || (stands ? machine.PreemptRests : machine.ReadsPreempt),
            SourceHasNoticed = () => last is { IsPaused: true },
        };
        source = new MigrationSource(guest, Options(pair));
        var progress = new Reports(value =>
        {
            last = value;
            if (value.Round == 2)
            {
                source.SwitchToPostcopy();
            }

            if (value.Phase == MigrationPhase.DeviceState)
            {
                network.OnMoment(CutMoment.Package);
            }

            network.OnProgress(value);
        });
        var sending = EndAsync(source.MigrateAsync(network.Address, progress, givesUp.Token));
        try
        {
            await OperateAsync(sending, machine, network, source, () => last is { IsPaused: true }, givesUp, seed)
                .WaitAsync(s_deadline, Token);
        }
        catch (TimeoutException)
        {
            Assert.Fail($"it hangs; last {last}\n{Story(pair, cuts, network, machine)}");
        }

        var failure = await sending;
        var story = $"{Story(pair, cuts, network, machine)}\nsource: {failure?.Message ?? "done"}";
        TestContext.Current.TestOutputHelper?.WriteLine(story);
        await CheckOwnerAsync(machine, guest, failure, story);
    }

    private static async Task<bool> NoticesByItselfAsync(QemuProcess machine)
    {
        for (var looks = 0; looks < 60 && machine.States is not [.., "postcopy-paused"]; looks++)
        {
            await Task.Delay(50, Token);
        }

        return machine.States is [.., "postcopy-paused"];
    }

    private static async Task CheckOwnerAsync(QemuProcess machine, LiveGuest guest, Exception? failure, string story)
    {
        Assert.False(machine.HasRunGuest && guest.HasReturned, $"it runs twice\n{story}");
        if (!machine.HasRunGuest)
        {
            Assert.True(
                guest.HasReturned || guest.IsRunning || failure is MigrationException { Reason: FailureReason.OutcomeUnknown },
                $"it runs nowhere, and nobody says so\n{story}");
            return;
        }

        // SHUT may be lost; whatever else was lost came again.
        Assert.True(
            failure is null or MigrationException { Reason: FailureReason.OutcomeUnknown or FailureReason.GuestAtDestination }, story);
        try
        {
            await machine.WaitForMigrationAsync("completed", Token);
            await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
            var now = machine.Console.Reports[^1];
            await machine.Console.WaitForAsync(report => report.Round >= now.Round + 2, "it has found all of its memory right", Token);
        }
        catch (Exception wrong)
            when (wrong is InvalidOperationException or InvalidDataException or TimeoutException or EndOfStreamException)
        {
            Assert.Fail($"{wrong.Message}\n{story}");
        }
    }

    private static MigrationSourceOptions Options(CutPair pair) => new()
    {
        Postcopy = true,
        Preempt = pair.Preempt,
        MaxBytesPerSecond = 200 << 20,
        MaxPostcopyBytesPerSecond = 8 << 20,
        MaxDowntime = TimeSpan.FromTicks(1),
        RecoveryTimeout = TimeSpan.FromMinutes(10),
        ProgressInterval = TimeSpan.FromMilliseconds(5),
        DestinationQemuVersion = pair.Version.Major == 7 ? new Version(7, 2) : null,
    };

    /// <summary>
    /// What an operator does who moves guests to QEMU: both sides must have noticed before the source comes again, since QEMU takes no new
    /// link for a recovery while it has one.
    /// </summary>
    private static async Task OperateAsync(
        Task sending,
        QemuProcess machine,
        CutNetwork network,
        MigrationSource source,
        Func<bool> isPaused,
        CancellationTokenSource givesUp,
        int seed)
    {
        var (ticks, silence) = (0, 0);
        for (var attempts = 0; !sending.IsCompleted;)
        {
            await Task.Delay(50, Token);
            var state = machine.States is [.., var newest] ? newest : "";
            var waits = state is "postcopy-paused" or "postcopy-recover-setup";
            ticks = isPaused() == waits && !isPaused() ? 0 : ticks + 1;
            if (isPaused() && (machine.HasExited || state is "failed" or "completed" || (ticks > 200 && !machine.HasRunGuest)))
            {
                await givesUp.CancelAsync(); // nobody to come to
            }
            else if (isPaused() && waits)
            {
                if (state == "postcopy-paused" && (seed + attempts) % 2 == 0)
                {
                    await ListenAnewAsync(machine, network);
                }

                Try(() => network.Renew(() => _ = source.ResumeAsync(network.Address)));
                (ticks, attempts) = (0, attempts + 1);
                await Task.Delay(200, Token); // QEMU's state follows
            }
            else if (state == "completed" && ++silence == 200)
            {
                // From 8.0 on without SHUT where its preempt channel was lost at the end.
                network.Note("QEMU has everything, and does not say so");
                Try(source.Pause);
            }
            else if (ticks == 40)
            {
                network.Note($"only one side has noticed: QEMU is {state}");
                Try(source.Pause);
                await TryAsync(machine, "migrate-pause");
                ticks = isPaused() ? 41 : 0;
            }
        }
    }

    /// <summary>Another port each time: a QEMU that finds the old one in use forgets that it was paused (7.2).</summary>
    private static async Task ListenAnewAsync(QemuProcess machine, CutNetwork network)
    {
        using var free = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        free.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var address = ChannelAddress.From((IPEndPoint)free.LocalEndPoint!);
        free.Close();
        await machine.ExecuteOutOfBandAsync("migrate-recover", new JsonObject { ["uri"] = $"tcp:{address}" }, Token);
        network.Redirect(address);
    }

    private static string Story(CutPair pair, CutCase cuts, CutNetwork network, QemuProcess machine) =>
        $"{pair}: {cuts}\n  {network.Story}\nQEMU: {string.Join(", ", machine.States)}; "
        + $"has run the guest: {machine.HasRunGuest}; exited: {machine.HasExited}";

    private static async Task TryAsync(QemuProcess machine, string command)
    {
        try
        {
            await machine.ExecuteOutOfBandAsync(command, null, Token);
        }
        catch (Exception refused) when (refused is QmpException or TimeoutException)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(refused.Message);
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

    private static async Task<Exception?> EndAsync(Task<MigrationReport> sending)
    {
        try
        {
            await sending;
            return null;
        }
        catch (Exception failure) when (failure is MigrationException or OperationCanceledException)
        {
            return failure;
        }
    }
}
