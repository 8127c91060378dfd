using System.Globalization;
using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>What the tests with strangers share: a small guest that moves from QEMU to QEMU, and its postcopy.</summary>
public abstract class MigrationTest : QemuTest
{
    /// <summary>
    /// Slow enough that there is time to disturb a migration, and that a guest of this size is not through before postcopy.
    /// </summary>
    private protected const long Slow = 12 << 20;

    private protected static Guid Uuid { get; } = new("00112233-4455-6677-8899-aabbccddeeff");

    private protected static QemuOptions Machine(string version, string machine) => new()
    {
        Version = QemuVersion.Parse(version),
        Machine = machine,
        MemoryMiB = 64,
        Uuid = Uuid,
        Disk = new GuestDisk { WindowAddress = 16 << 20, WindowBytes = 4 << 20, PagesCheckedPerPass = 4096 },
    };

    private protected static QemuOptions Newest(string version) => Machine(version, QemuVersion.Parse(version).NewestMachine);

    private protected static StrangerTarget TargetOf(QemuOptions machine, MigrationSettings settings) =>
        new(settings.Channels, Uuid, machine.MemoryBytes);

    private protected static MigrationSettings Postcopy(bool preempt, int channels = 0) => new()
    {
        Channels = channels,
        Capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"],
    };

    private protected static MigrationSettings Slowly(MigrationSettings settings, long postcopyBytesPerSecond) => settings with
    {
        MaxBandwidth = Slow,
        Parameters = [.. settings.Parameters, ("max-postcopy-bandwidth", postcopyBytesPerSecond)],
    };

    private protected static int PortOf(string uri) => int.Parse(uri[(uri.LastIndexOf(':') + 1)..], CultureInfo.InvariantCulture);

    /// <summary>A QEMU that waits at a TCP port of its own, with nobody before it.</summary>
    private protected async Task<(QemuProcess Machine, string Uri)> StartBareAsync(QemuOptions machine, MigrationSettings settings)
    {
        var destination = await StartAsync(machine.IncomingIn(machine.Version), "destination");
        await destination.PrepareMigrationAsync(settings, Token);
        return (destination, await destination.StartIncomingAsync("tcp:127.0.0.1:0", Token));
    }

    /// <summary>Once a part of the memory has gone over, the guest goes too.</summary>
    private protected static async Task SwitchToPostcopyAsync(QemuProcess source, QemuProcess destination)
    {
        await source.WaitForCounterAsync("ram", "transferred", 4 << 20, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);
        await source.WaitForStateAsync("postcopy-active", Token);
        await destination.WaitForStateAsync("postcopy-active", Token);
        // The state comes first: a link that is lost in between fails the migration instead of pausing it.
        await destination.WaitForGuestAsync(Token);
    }

    /// <summary>Cuts a postcopy: the guest is at the destination, a part of its memory is not.</summary>
    private protected static async Task PauseAsync(QemuProcess source, QemuProcess destination)
    {
        // Counted first: after a recovery the states come a second time.
        var (atSource, atDestination) = (source.EventCount, destination.EventCount);
        await source.ExecuteOutOfBandAsync("migrate-pause", null, Token);
        await source.WaitForStateAsync("postcopy-paused", Token, atSource);
        await destination.WaitForStateAsync("postcopy-paused", Token, atDestination);
    }

    /// <summary>The guest is where it was sent, has lost nothing, and finds all of its memory right.</summary>
    private protected static async Task ArrivedAsync(QemuProcess source, QemuProcess destination)
    {
        await source.WaitForMigrationAsync("completed", Token);
        await destination.WaitForMigrationAsync("completed", Token);
        Assert.Equal("postmigrate", await source.StatusAsync(Token));
        Assert.Equal("running", await destination.StatusAsync(Token));
        var left = source.Console.Reports[^1];
        var arrived = await destination.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(arrived.Pass, left.Pass + 1, left.Pass + 3);
        // Counted from now, when no page can be missing any more: two rounds further every page has been looked at.
        var now = destination.Console.Reports[^1];
        await destination.Console.WaitForAsync(report => report.Round >= now.Round + 2, "it has found all of its memory right", Token);
        Assert.False(destination.HasExited);
    }
}
