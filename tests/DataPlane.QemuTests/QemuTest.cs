using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests;

/// <summary>
/// A test with real QEMUs: skipped with the reason where they cannot run (a failure in CI, where nobody would notice), with a folder of its
/// own, and with all its processes gone at the end.
/// </summary>
public abstract class QemuTest : IAsyncLifetime
{
    private readonly List<QemuProcess> _machines = [];
    private readonly List<ReceiveProcess> _receivers = [];
    private readonly List<GuardProcess> _guards = [];
    private TestDeadline? _deadline;
    private WorkFolder? _work;

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    private protected WorkFolder Work => _work ?? throw new InvalidOperationException("the test has not begun");

    public virtual ValueTask InitializeAsync()
    {
        if (QemuInstallation.WhyNot() is { } reason)
        {
            Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", reason);
            Assert.Fail($"no QEMU in CI: {reason}");
        }

        _deadline = new TestDeadline(TestContext.Current);
        _work = new WorkFolder();
        return ValueTask.CompletedTask;
    }

    public virtual async ValueTask DisposeAsync()
    {
        foreach (var description in (string[])
            [
                .. _machines.Select(machine => machine.Describe()),
                .. _receivers.Select(receiver => receiver.Describe()),
                .. _guards.Select(guard => guard.Describe()),
            ])
        {
            TestContext.Current.TestOutputHelper?.WriteLine(description);
        }

        foreach (var machine in _machines)
        {
            await machine.DisposeAsync();
        }

        foreach (var receiver in _receivers)
        {
            await receiver.DisposeAsync();
        }

        foreach (var guard in _guards)
        {
            await guard.DisposeAsync();
        }

        _work?.Dispose();
        _deadline?.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Starts a QEMU that ends with the test.</summary>
    private protected async Task<QemuProcess> StartAsync(QemuOptions options, string name)
    {
        var machine = await QemuProcess.StartAsync(options, Work, name, Token);
        _machines.Add(machine);
        return machine;
    }

    /// <summary>Starts a `dataplane receive` that ends with the test.</summary>
    private protected async Task<ReceiveProcess> StartAsync(ReceiveOptions options)
    {
        var receiver = await ReceiveProcess.StartAsync(options, Work, Token);
        _receivers.Add(receiver);
        return receiver;
    }

    /// <summary>Starts a `dataplane guard` that ends with the test.</summary>
    private protected async Task<GuardProcess> StartAsync(GuardOptions options)
    {
        var guard = await GuardProcess.StartAsync(options, Work, Token);
        _guards.Add(guard);
        return guard;
    }

    /// <summary>A machine whose guest has filled its RAM and begun to rewrite its window.</summary>
    private protected async Task<QemuProcess> StartSourceAsync(QemuOptions options)
    {
        var source = await StartAsync(options, "source");
        await source.Console.WaitForAsync(report => report.Pass >= 2, "the second pass", Token);
        return source;
    }

    /// <summary>
    /// Loads a saved VM into a QEMU and sees it go on: paused as it was captured until it is told to run, with the very memory of the file,
    /// counting on from where it was, and finding every page of its memory right by its own reckoning.
    /// </summary>
    private protected async Task RunsOnAsync(string path, QemuOptions options, QemuVersion version, GuestReport last, bool paused)
    {
        var machine = await StartAsync(options.IncomingIn(version), $"loaded-{version.Label}");
        await machine.PrepareMigrationAsync(new MigrationSettings { MappedRam = true }, Token);
        await machine.StartIncomingAsync($"file:{path}", Token);
        await machine.WaitForMigrationAsync("completed", Token);
        Assert.Equal(paused ? "paused" : "running", await machine.StatusAsync(Token));
        if (paused)
        {
            using (var file = MappedRamFile.Open(path))
            {
                Assert.Null(file.FirstDifference(file.Ram, await machine.SaveMemoryAsync(Token)));
            }

            await machine.ContinueGuestAsync(Token);
        }

        var first = await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(first.Pass, last.Pass + 1, last.Pass + 3);
        // Two rounds further every page has been looked at since the load.
        await machine.Console.WaitForAsync(report => report.Round >= first.Round + 2, "it has found all of its memory right", Token);
        await machine.DisposeAsync();
    }
}
