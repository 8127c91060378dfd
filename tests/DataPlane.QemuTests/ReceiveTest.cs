using System.Diagnostics;
using System.Text.Json;
using DataPlane.Linux;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>What the tests of `dataplane receive` share: a capture from beginning to end, and what must hold after every one.</summary>
public abstract class ReceiveTest : QemuTest
{
    /// <summary>The folder for the file, and nothing else.</summary>
    private protected string OutFolder => Work.NewFolder("out");

    private protected string OutFile => Path.Combine(OutFolder, "vm");

    private protected static QemuOptions Newest(string version) =>
        new() { Version = QemuVersion.Parse(version), Machine = QemuVersion.Parse(version).NewestMachine };

    /// <summary>
    /// Moves the source's guest into a file and checks the file against the guest's memory and against the command's own words.
    /// </summary>
    /// <param name="source">The guest's QEMU.</param>
    /// <param name="settings">Its side of the migration.</param>
    /// <param name="options">The command's side.</param>
    /// <param name="meanwhile">What to do between the start of the migration and its end.</param>
    /// <returns>What the source says of the migration.</returns>
    private protected async Task<JsonElement> CaptureAsync(
        QemuProcess source, MigrationSettings settings, ReceiveOptions? options = null, Func<Task>? meanwhile = null)
    {
        options ??= new ReceiveOptions { Out = OutFile };
        var receive = await StartAsync(options with { Channels = settings.Channels });
        await source.PrepareMigrationAsync(settings, Token);

        await source.StartMigrationAsync(receive.Uri, Token);
        if (meanwhile is not null)
        {
            await meanwhile();
        }

        var migration = await source.WaitForMigrationAsync("completed", Token);
        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal("postmigrate", await source.StatusAsync(Token));
        using var file = MappedRamFile.Open(options.Out);
        var difference = file.FirstDifference(file.Ram, await source.SaveMemoryAsync(Token));
        Assert.True(difference is null, $"pc.ram differs from the source's memory at 0x{difference:x}");
        CheckResult(result, file, source.Options, settings);
        Assert.Equal(["vm"], Directory.GetFileSystemEntries(Path.GetDirectoryName(options.Out)!).Select(Path.GetFileName));
        return migration;
    }

    /// <summary>
    /// Moves the source's guest into the file and checks nothing of it, for machines whose memory is not one block "pc.ram".
    /// </summary>
    private protected async Task SaveAsync(QemuProcess source, MigrationSettings settings)
    {
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = settings.Channels });
        await source.PrepareMigrationAsync(settings, Token);
        await source.MigrateAsync(receive.Uri, Token);
        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    /// <summary>A block of the file is what the source's memory was, of which <paramref name="dump"/> is the block's part.</summary>
    private protected static void AssertSame(MappedRamFile file, string block, string dump)
    {
        var difference = file.FirstDifference(file.Blocks.Single(candidate => candidate.Name == block), dump);
        Assert.True(difference is null, $"{block} differs from the source's memory at 0x{difference:x}");
    }

    /// <summary>The file runs on in these QEMUs, one after the other.</summary>
    private protected async Task RunsOnAsync(QemuProcess source, bool paused, params QemuVersion[] versions)
    {
        foreach (var version in versions)
        {
            await RunsOnAsync(OutFile, source.Options, version, source.Console.Reports[^1], paused);
        }
    }

    /// <summary>
    /// Waits until so many pages with data are in the file that the command makes. What the source counts as sent may still be in a socket,
    /// and before the command has made its memory, a source that goes away is a false start, after which it waits for the next one.
    /// </summary>
    private protected async Task WaitForPagesAsync(int least)
    {
        for (var patience = Stopwatch.StartNew(); ; await Task.Delay(20, Token))
        {
            var pages = CountPages(least);
            if (pages >= least)
            {
                return;
            }

            if (patience.Elapsed > Patience.Default)
            {
                throw new TimeoutException($"{pages} pages with data have come in time, not {least}");
            }
        }
    }

    /// <summary>A capture that must fail: exit code 1, one line that says why, and no file.</summary>
    private protected async Task<ReceiveResult> ExpectFailureAsync(ReceiveProcess receive, string expectedInLine)
    {
        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 1, result.ToString());
        var line = Assert.Single(result.Errors);
        Assert.Contains(expectedInLine, line, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("failed", result.Json.GetProperty("result").GetString());
        Assert.NotEmpty(result.Json.GetProperty("error").ToString());
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
        return result;
    }

    /// <summary>The source still owns its guest, which goes on counting.</summary>
    private protected static async Task RunsOnAtSourceAsync(QemuProcess source, string migrationStatus = "failed")
    {
        await source.WaitForMigrationAsync(migrationStatus, Token);
        var last = source.Console.Reports[^1];
        await source.Console.WaitForAsync(report => report.Pass >= last.Pass + 2, "the guest goes on at the source", Token);
        Assert.Equal("running", await source.StatusAsync(Token));
    }

    /// <summary>A source with a client's certificates as tls0; the folder is copied to where QEMUs can see it too.</summary>
    private protected QemuOptions Secured(string version, string machine, string from)
    {
        var folder = Work.NewFolder("tls");
        foreach (var file in Directory.GetFiles(from))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        }

        return new QemuOptions
        {
            Version = QemuVersion.Parse(version),
            Machine = machine,
            Extra = ["-object", $"tls-creds-x509,id=tls0,dir={folder},endpoint=client"],
        };
    }

    /// <summary>Counts the pages that are not zero in the file under construction, up to <paramref name="most"/>.</summary>
    private int CountPages(int most)
    {
        if (Directory.GetFiles(OutFolder, ".*.partial") is not [var path])
        {
            return 0;
        }

        // The runtime's own way of opening asks for a lock, which the command has.
        using var file = LinuxFile.Open(path, FileCalls.OpenReadOnly);
        var chunk = new byte[1 << 20];
        var pages = 0;
        long offset = 0;
        for (int count; pages < most && (count = RandomAccess.Read(file, chunk, offset)) > 0; offset += count)
        {
            for (var at = 0; at < count; at += TargetPage.Size)
            {
                pages += chunk.AsSpan(at, Math.Min(TargetPage.Size, count - at)).ContainsAnyExcept((byte)0) ? 1 : 0;
            }
        }

        return pages;
    }

    private static void CheckResult(ReceiveResult result, MappedRamFile file, QemuOptions machine, MigrationSettings settings)
    {
        Assert.Equal(machine.Machine, file.Machine);
        Assert.Equal(["mapped-ram"], file.Capabilities);
        Assert.Contains("timer", file.Devices);

        var json = result.Json;
        Assert.Equal("ok", json.GetProperty("result").GetString());
        Assert.Equal(machine.Machine, json.GetProperty("machine").GetString());
        Assert.Equal(
            file.Blocks.Select(block => (block.Name, block.Length, file.Sha256(block))),
            json.GetProperty("blocks").EnumerateArray().Select(block =>
                (
                block.GetProperty("name").GetString()!,
                block.GetProperty("size_bytes").GetInt64(),
                block.GetProperty("sha256").GetString()!)));
        Assert.Equal(
            Enumerable.Range(0, settings.Channels).Select(id => ("multifd", id)),
            json.GetProperty("channels").EnumerateArray()
                .Where(channel => channel.GetProperty("kind").GetString() == "multifd")
                .Select(channel => (channel.GetProperty("kind").GetString()!, channel.GetProperty("id").GetInt32())).Order());
        Assert.Single(json.GetProperty("channels").EnumerateArray(), channel => channel.GetProperty("kind").GetString() == "main");
        Assert.True(json.GetProperty("normal_pages").GetInt64() + json.GetProperty("zero_pages").GetInt64() > 0);
        Assert.Equal(file.Devices.Count, json.GetProperty("devices").GetArrayLength());
    }
}
