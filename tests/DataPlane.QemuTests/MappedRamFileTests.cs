using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>The tests' own reader and the loading of files, proven on files that QEMU itself has written.</summary>
public sealed class MappedRamFileTests : QemuTest
{
    public static TheoryData<string, string, string> Cases => new()
    {
        { "10.0", "pc-q35-7.2", "11.1" },
        { "10.0", "pc-q35-10.0", "10.0" },
        { "11.1", "pc-q35-10.0", "10.0" },
        { "11.1", "pc-q35-11.1", "11.1" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_file_that_QEMU_has_written_holds_the_guests_memory_and_runs_on(string writer, string machine, string loader)
    {
        var options = new QemuOptions { Version = QemuVersion.Parse(writer), Machine = machine };
        var source = await StartSourceAsync(options);
        await source.PrepareMigrationAsync(new MigrationSettings { MappedRam = true }, Token);
        var path = Work["vm"];

        await source.MigrateAsync($"file:{path}", Token);

        using (var file = MappedRamFile.Open(path))
        {
            Assert.Equal(machine, file.Machine);
            Assert.Equal(["mapped-ram"], file.Capabilities);
            Assert.Contains("timer", file.Devices);
            Assert.Null(file.FirstDifference(file.Ram, await source.SaveMemoryAsync(Token)));
            Assert.InRange(file.Ram.StoredPages, 1, file.Ram.Length / MappedRamBlock.PageSize - 1);
        }

        await RunsOnAsync(path, options, QemuVersion.Parse(loader), source.Console.Reports[^1], paused: false);
    }
}
