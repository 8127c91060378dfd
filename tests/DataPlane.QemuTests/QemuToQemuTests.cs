using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>The harness against QEMU alone: what fails here is no fault of the product.</summary>
public sealed class QemuToQemuTests : QemuTest
{
    public static TheoryData<string, int> Versions => new(
        from version in QemuVersion.All from channels in (int[])[0, 2] select new TheoryDataRow<string, int>(version.Label, channels));

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_guest_moves_between_two_QEMUs_and_its_memory_is_the_same(string label, int channels)
    {
        var version = QemuVersion.Parse(label);
        var options = new QemuOptions { Version = version, Machine = version.NewestMachine };
        var settings = new MigrationSettings { Channels = channels };
        var source = await StartSourceAsync(options);
        var destination = await StartAsync(options.IncomingIn(version) with { StayStopped = true }, "destination");
        await source.PrepareMigrationAsync(settings, Token);
        await destination.PrepareMigrationAsync(settings, Token);

        await source.MigrateAsync(await destination.StartIncomingAsync("tcp:127.0.0.1:0", Token), Token);
        await destination.WaitForMigrationAsync("completed", Token);

        Assert.Equal("postmigrate", await source.StatusAsync(Token));
        var expected = await File.ReadAllBytesAsync(await source.SaveMemoryAsync(Token), Token);
        var actual = await File.ReadAllBytesAsync(await destination.SaveMemoryAsync(Token), Token);
        Assert.True(expected.AsSpan().SequenceEqual(actual), "the memories differ");
        var left = source.Console.Reports[^1];
        await destination.ContinueGuestAsync(Token);
        var arrived = await destination.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(arrived.Pass, left.Pass + 1, left.Pass + 3);
    }

    [Fact]
    public async Task A_disposed_QEMU_is_gone()
    {
        var machine = await StartAsync(new QemuOptions { Version = QemuVersion.V111, Machine = "pc-q35-11.1" }, "machine");
        var folder = $"/proc/{machine.ProcessId}";
        Assert.Equal("qemu-system-x86", (await File.ReadAllTextAsync($"{folder}/comm", Token)).Trim());

        await machine.DisposeAsync();

        Assert.False(Directory.Exists(folder));
    }
}
