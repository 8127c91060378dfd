using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>Whatever ends a capture early: one line, no file, and the guest goes on where it was.</summary>
public sealed class ReceiveFailureTests : ReceiveTest
{
    // Slow enough that a guest of 128 MiB is on its way for many seconds.
    private const long Slow = 4 << 20;
    private const int Begun = 256; // pages

    public static TheoryData<string, int, bool> Cases => new(
        from version in QemuVersion.All
        from row in ((int Channels, bool ReturnPath)[])[(0, false), (2, true)]
        select new TheoryDataRow<string, int, bool>(version.Label, row.Channels, row.ReturnPath));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Cancelled_at_the_source(string version, int channels, bool returnPath)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await BeginSlowlyAsync(source, channels, returnPath);

        await source.ExecuteAsync("migrate_cancel", null, Token);

        await ExpectFailureAsync(receive, "main");
        await RunsOnAtSourceAsync(source, "cancelled");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Interrupted_by_the_user(string version, int channels, bool returnPath)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await BeginSlowlyAsync(source, channels, returnPath);

        receive.Interrupt();

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 130, result.ToString());
        Assert.Equal("interrupted", result.Json.GetProperty("result").GetString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
        await RunsOnAtSourceAsync(source);
    }

    [Fact]
    public async Task Interrupted_before_anybody_has_connected()
    {
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile });

        receive.Interrupt();

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 130, result.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task The_guest_is_larger_than_allowed(string version, int channels, bool returnPath)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = channels, Extra = ["--max-ram", "64M"] });

        await BeginAsync(source, receive, new MigrationSettings { Channels = channels, ReturnPath = returnPath });

        await ExpectFailureAsync(receive, "max-ram");
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task The_disk_is_too_small(string version, int channels, bool returnPath)
    {
        var source = await StartSourceAsync(Newest(version));
        // A file system of its own that only this process sees; what is left in it is listed when the command has ended.
        var listing = Work["listing"];
        const string Small = """
            mount -t tmpfs -o size=48m none "$1" || exit 99
            left=$2 folder=$1
            shift 2
            setpriv --pdeathsig KILL -- "$@"
            code=$?
            ls -A "$folder" >"$left"
            exit $code
            """;
        var receive = await StartAsync(new ReceiveOptions
        {
            Out = OutFile,
            Channels = channels,
            Before = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", Small, "small", OutFolder, listing],
        });

        await BeginAsync(source, receive, new MigrationSettings { Channels = channels, ReturnPath = returnPath });

        await ExpectFailureAsync(receive, "space");
        Assert.Equal("", await File.ReadAllTextAsync(listing, Token));
        await RunsOnAtSourceAsync(source);
    }

    [Fact]
    public async Task Nobody_connects_in_time()
    {
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = 2, Extra = ["--timeout", "1s"] });

        await ExpectFailureAsync(receive, "time");
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("11.1")]
    public async Task The_source_opens_fewer_channels_than_expected(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = 4, Extra = ["--timeout", "2s"] });

        await BeginAsync(source, receive, new MigrationSettings { Channels = 2, ReturnPath = true });

        await ExpectFailureAsync(receive, "multifd");
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task The_source_falls_silent(int channels)
    {
        var source = await StartSourceAsync(Newest("11.1"));
        var receive = await BeginSlowlyAsync(source, channels, returnPath: true, "--timeout", "2s");

        source.Signal(ChildProcess.Stop);

        await ExpectFailureAsync(receive, "main");
        source.Signal(ChildProcess.Continue);
        await RunsOnAtSourceAsync(source);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task The_source_dies(int channels)
    {
        var source = await StartSourceAsync(Newest("11.1"));
        var receive = await BeginSlowlyAsync(source, channels, returnPath: true);

        await source.DisposeAsync();

        await ExpectFailureAsync(receive, "channel");
    }

    private static async Task BeginAsync(QemuProcess source, ReceiveProcess receive, MigrationSettings settings)
    {
        await source.PrepareMigrationAsync(settings, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
    }

    /// <summary>A migration whose RAM has begun to arrive, and which is far from its end.</summary>
    private async Task<ReceiveProcess> BeginSlowlyAsync(QemuProcess source, int channels, bool returnPath, params string[] extra)
    {
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = channels, Extra = extra });
        await BeginAsync(source, receive, new MigrationSettings { Channels = channels, ReturnPath = returnPath, MaxBandwidth = Slow });
        await WaitForPagesAsync(Begun);
        return receive;
    }
}
