using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Postcopy;

/// <summary>
/// A source that has switched to postcopy while its destination was still reading precopy, and has lost the link: up to 10.1 its guest
/// stands still, and `dataplane receive` gives it back.
/// </summary>
public sealed class StrandedSourceTests : ReceiveTest
{
    private const long Slow = 12 << 20;

    /// <summary>What comes through of precopy.</summary>
    private const long Passed = 2 << 20;

    /// <summary>PING 4 is the first that follows the package.</summary>
    private static readonly FaultPlan s_lostInTheNetwork = new()
    {
        Forward = new Fault { DiscardAt = Passed, NoticeRecord = new FaultPoint("PING", 4) },
    };

    [Theory]
    [InlineData("7.2", false)]
    [InlineData("10.0", true)]
    public Task Receive_gives_the_guest_back(string version, bool preempt) => ReturnAsync(version, preempt);

    [Theory(Explicit = true)]
    [InlineData("7.2", true)]
    [InlineData("10.0", false)]
    public Task Receive_gives_the_guest_back_to_the_others_too(string version, bool preempt) => ReturnAsync(version, preempt);

    [Fact]
    public async Task A_source_that_does_not_come_in_time_is_told_of()
    {
        await using var scene = await LoseAsync("10.0", preempt: false, s_lostInTheNetwork, "--recovery-timeout", "1s");

        var result = await scene.Receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 1, result.ToString());
        Assert.Contains("its source has not come again", result.Errors[^1], StringComparison.Ordinal);
        Assert.False(result.Json.GetProperty("guest_returned").GetBoolean());
        Assert.Equal("at_source", result.Json.GetProperty("guest").GetString());
    }

    [Fact]
    public async Task Ctrl_C_ends_the_wait()
    {
        await using var scene = await LoseAsync("10.0", preempt: false, s_lostInTheNetwork);

        scene.Receive.Interrupt();

        var result = await scene.Receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 130, result.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
    }

    /// <summary>The switch has begun here, so the source has left its guest: a Ctrl-C does not leave it alone.</summary>
    [Fact]
    public async Task Ctrl_C_in_the_middle_of_the_switch_waits_for_the_source()
    {
        var hold = new FaultPlan
        {
            Forward = new Fault { StallAtRecord = new FaultPoint("PACKAGED", Into: 100) },
            Backward = new Fault { NoticeRecord = new FaultPoint("PONG", 2) },
        };
        await using var scene = await BeginAsync("10.0", preempt: false, hold);
        await scene.Main.ForwardStalled.WaitAsync(Patience.Default, Token);
        await scene.Main.BackwardNoticed.WaitAsync(Patience.Default, Token); // it has read what the source discards
        await scene.Source.WaitForStateAsync("postcopy-active", Token);

        await InterruptAsync(scene);
    }

    /// <summary>The source has switched into its socket buffers, of which nothing here shows anything yet.</summary>
    [Fact]
    public async Task Ctrl_C_before_the_switch_is_seen_waits_for_the_source_too()
    {
        await using var scene = await BeginAsync("7.2", preempt: false, s_lostInTheNetwork);
        await scene.LoseAsync();

        await InterruptAsync(scene);
    }

    /// <summary>What a source had written before it closed has been read, and it was no package: it has its guest, nobody waits.</summary>
    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    public async Task A_link_that_ends_in_good_order_before_the_switch_ends_receive(string version)
    {
        await using var scene = await ConnectAsync(
            version, preempt: false, new FaultPlan { Forward = new Fault { StallAt = Passed } });
        await ReceiveProcess.WaitForBytesAsync(scene.Control, Passed, Token);

        scene.Main.Cut(reset: false);

        await ExpectFailureAsync(scene.Receive, "the stream ended inside");
        scene.Main.Sever(client: true); // it would wait for somebody to read
        await RunsOnAtSourceAsync(scene.Source);
    }

    /// <summary>From 10.2 on a source takes its guest back by itself, and its machine type says that it is one.</summary>
    [Fact]
    public async Task A_source_that_takes_its_guest_back_is_not_waited_for()
    {
        await using var scene = await BeginAsync("11.1", preempt: false, s_lostInTheNetwork);
        await scene.LoseAsync();
        await scene.Source.WaitForStateAsync("postcopy-device", Token);

        scene.Main.Cut(reset: true);

        var result = await scene.Receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 1, result.ToString());
        Assert.False(result.Json.TryGetProperty("guest_returned", out _), result.ToString());
        await RunsOnAtSourceAsync(scene.Source);
    }

    private async Task ReturnAsync(string version, bool preempt)
    {
        await using var scene = await LoseAsync(version, preempt, s_lostInTheNetwork);
        Assert.DoesNotContain("running", await scene.Source.StatusAsync(Token), StringComparison.Ordinal);

        await TakeBackAsync(scene);

        var result = await scene.Receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 1, result.ToString());
        Assert.True(result.Json.GetProperty("guest_returned").GetBoolean());
        Assert.Equal("at_source", result.Json.GetProperty("guest").GetString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
    }

    /// <summary>Ctrl-C, and then the link's end: the source comes again for its guest.</summary>
    private static async Task InterruptAsync(Scene scene)
    {
        scene.Receive.Interrupt();

        await scene.Receive.WaitForReturnAsync(Token);
        scene.Main.Cut(reset: true);
        await scene.Source.WaitForStateAsync("postcopy-paused", Token);
        await TakeBackAsync(scene);
        Assert.Equal(130, (await scene.Receive.WaitAsync(Token)).ExitCode);
    }

    private static async Task TakeBackAsync(Scene scene)
    {
        await scene.Source.ResumeMigrationAsync(scene.Receive.Uri, Token);
        await scene.Source.WaitForMigrationAsync("failed", Token);
        if (scene.Source.Options.Version == QemuVersion.V72)
        {
            await scene.Source.ContinueGuestAsync(Token); // this one waits to be told
        }

        await RunsOnAtSourceAsync(scene.Source);
    }

    /// <summary>The source has switched into the void, the link is reset, and both have noticed.</summary>
    private async Task<Scene> LoseAsync(string version, bool preempt, FaultPlan plan, params string[] extra)
    {
        var scene = await BeginAsync(version, preempt, plan, extra);
        await scene.LoseAsync();
        await scene.Source.WaitForStateAsync("postcopy-active", Token);
        scene.Main.Cut(reset: true);
        await scene.Source.WaitForStateAsync("postcopy-paused", Token);
        await scene.Receive.WaitForReturnAsync(Token);
        return scene;
    }

    private async Task<Scene> BeginAsync(string version, bool preempt, FaultPlan plan, params string[] extra)
    {
        var scene = await ConnectAsync(version, preempt, plan, extra);
        await scene.Source.WaitForCounterAsync("ram", "transferred", 4 << 20, Token);
        await scene.Source.ExecuteAsync("migrate-start-postcopy", null, Token);
        return scene;
    }

    private async Task<Scene> ConnectAsync(string version, bool preempt, FaultPlan plan, params string[] extra)
    {
        string[] channels = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"];
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(
            new ReceiveOptions
            {
                Out = OutFile,
                Extra = ["--postcopy", "--control", Work["control"], .. preempt ? ["--preempt"] : (string[])[], .. extra],
            });
        var proxy = FaultProxy.Start(
            ChannelAddress.Parse(receive.Uri["tcp:".Length..]), index => index == 0 ? plan : FaultPlan.None);
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Capabilities = channels,
                MaxBandwidth = Slow,
                Parameters = [("max-postcopy-bandwidth", 1L << 20)],
            },
            Token);
        await source.StartMigrationAsync($"tcp:{proxy.Address}", Token);
        var main = await proxy.LinkAsync(0, Token);
        return new Scene(source, receive, proxy, main, Work["control"]);
    }

    private sealed record Scene(QemuProcess Source, ReceiveProcess Receive, FaultProxy Proxy, FaultLink Main, string Control)
        : IAsyncDisposable
    {
        /// <summary>The package has gone into the void, and what came before that has been read.</summary>
        public async Task LoseAsync()
        {
            await Main.ForwardNoticed.WaitAsync(Patience.Default, Token);
            await ReceiveProcess.WaitForBytesAsync(Control, Passed, Token);
        }

        public ValueTask DisposeAsync() => Proxy.DisposeAsync();
    }
}
