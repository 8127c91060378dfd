using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Postcopy;

/// <summary>
/// The link swallows the message by which the guest changes hands, for as long as the test wants: a QEMU has sent the package and does not
/// hear that its guest has been loaded, a destination of ours has said it and runs the guest. Each end finds out when it is told.
/// </summary>
public sealed class HeldConfirmationTests : QemuTest
{
    private const long Slow = 12 << 20;

    /// <summary>Ours notices first: its guest stops before the source runs it again.</summary>
    [Fact]
    public async Task A_guest_whose_source_has_not_heard_stops_when_the_loss_is_noticed_here()
    {
        await using var scene = await HoldAsync("11.1");

        scene.Main.Sever(client: false);

        await scene.PauseAsync();
        Assert.True(scene.LastPause.OwnershipUnknown);
        Assert.True(scene.Progress is { IsPaused: true, OwnershipUnknown: true });
        Assert.False(scene.Guest.Runs);
        // Nothing has reached the source: it goes on waiting, and its monitor offers no way out of that.
        Assert.Equal("postcopy-device", scene.Source.States[^1]);
        Assert.NotEqual("running", await scene.Source.StatusAsync(Token));
        await Assert.ThrowsAsync<QmpException>(() => scene.Source.ExecuteOutOfBandAsync("migrate-pause", null, Token));

        scene.Main.Sever(client: true);

        await scene.RunsAtSourceAsync();
        Assert.False(scene.Guest.Runs);
        await scene.GiveUpAsync();
    }

    /// <summary>
    /// The source notices first and runs its guest again beside ours: QEMU's own window, which ends when the loss is noticed here, too.
    /// </summary>
    [Fact]
    public async Task A_guest_that_its_source_runs_again_stops_here_when_the_loss_is_noticed_here()
    {
        await using var scene = await HoldAsync("11.1");

        scene.Main.Sever(client: true);
        await scene.RunsAtSourceAsync();
        scene.Main.Sever(client: false);

        await scene.PauseAsync();
        Assert.True(scene.LastPause.OwnershipUnknown);
        Assert.False(scene.Guest.Runs);
        await scene.GiveUpAsync();
    }

    /// <summary>Up to 10.1 a source never takes its guest back: whoever notices first, it waits and comes again.</summary>
    [Theory]
    [InlineData("10.0", true)]
    [InlineData("7.2", false)]
    public async Task An_older_source_that_has_not_heard_comes_again(string version, bool sourceFirst)
    {
        await using var scene = await HoldAsync(version);

        scene.Main.Sever(client: sourceFirst);
        scene.Main.Sever(client: !sourceFirst);

        await scene.PauseAsync();
        Assert.False(scene.LastPause.OwnershipUnknown);
        Assert.True(scene.Guest.Runs);
        await scene.Source.WaitForStateAsync("postcopy-paused", Token);
        await scene.Source.ResumeMigrationAsync($"tcp:{scene.Destination.LocalAddresses[0]}", Token);
        await scene.Source.ExecuteAsync("migrate-set-parameters", new() { ["max-postcopy-bandwidth"] = 1L << 40 }, Token);
        await scene.Source.WaitForMigrationAsync("completed", Token);
        await scene.Receiving.WaitAsync(Patience.Default, Token);
        Assert.Null(scene.Guest.FirstDifference(await scene.Source.SaveMemoryAsync(Token)));
    }

    private async Task<Scene> HoldAsync(string label)
    {
        var version = QemuVersion.Parse(label);
        var source = await StartSourceAsync(new QemuOptions { Version = version, Machine = version.NewestMachine });
        var scene = new Scene(source);
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Capabilities = ["postcopy-ram"],
                MaxBandwidth = Slow,
                Parameters = [("max-postcopy-bandwidth", 1L << 20)],
            },
            Token);
        await source.StartMigrationAsync($"tcp:{scene.Network.Address}", Token);
        await source.WaitForCounterAsync("ram", "transferred", 2 << 20, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);
        scene.Main = await scene.Network.LinkAsync(0, Token);
        await scene.Main.BackwardStalled.WaitAsync(Patience.Default, Token);
        await Eventually.TrueAsync(() => scene.Guest.Started, "the guest runs here", Token);
        Assert.True(scene.Guest.Runs);
        Assert.NotEqual("running", await source.StatusAsync(Token));
        return scene;
    }

    private sealed class Scene : IAsyncDisposable
    {
        private volatile MigrationProgress? _progress;

        public Scene(QemuProcess source)
        {
            Source = source;
            Destination = new MigrationDestination(
                [ChannelAddress.Parse("127.0.0.1:0")], Guest, new MigrationDestinationOptions { Postcopy = true });
            // The package's first PING is 3 for every QEMU: from its answer on all is held, and the first connection alone.
            Network = FaultProxy.Start(Destination.LocalAddresses[0], static index => index > 0 ? FaultPlan.None : new FaultPlan
            {
                Backward = new Fault { StallAtRecord = new FaultPoint("PONG", 3) },
            });
            Receiving = Destination.ReceiveAsync(new Reports(value => _progress = value), Token);
        }

        public QemuProcess Source { get; }

        public MigrationDestination Destination { get; }

        public FaultProxy Network { get; }

        public Task<MigrationReport> Receiving { get; }

        public ReadingGuest Guest { get; } = new();

        public FaultLink Main { get; set; } = null!;

        public PostcopyPause LastPause => Guest.Pauses.Last();

        public MigrationProgress? Progress => _progress;

        public Task PauseAsync() => Eventually.TrueAsync(
            () => Guest.Pauses.Any() && _progress is { IsPaused: true }, "the loss is noticed here", Token);

        /// <summary>QEMU 11.1 says `failing` at once, and may sleep over its own end until somebody speaks to it.</summary>
        public Task RunsAtSourceAsync() => Eventually.TrueAsync(
            async () => await Source.StatusAsync(Token) == "running"
                && (await Source.ExecuteAsync("query-migrate", null, Token)).GetProperty("status").GetString() == "failed",
            "the guest runs at its source again", Token);

        /// <summary>What a host does that has asked the source.</summary>
        public async Task GiveUpAsync()
        {
            await Destination.DisposeAsync();
            var failure = await Assert.ThrowsAsync<MigrationException>(() => Receiving).WaitAsync(Patience.Default, Token);
            Assert.Equal(FailureReason.GuestAtDestination, failure.Reason);
            var now = Source.Console.Reports[^1];
            await Source.Console.WaitForAsync(report => report.Pass > now.Pass, "the guest goes on at the source", Token);
        }

        public async ValueTask DisposeAsync()
        {
            await Network.DisposeAsync();
            await Destination.DisposeAsync();
            await ((Task)Receiving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Guest.Dispose();
        }
    }
}
