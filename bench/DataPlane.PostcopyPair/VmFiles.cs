using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>What the guest of a saved VM does.</summary>
internal enum VmKind
{
    /// <summary>It will not run again.</summary>
    Sleeper,

    /// <summary>Speaks as often as it can.</summary>
    Talker,
}

/// <summary>A saved VM, in the page cache, and its machine.</summary>
internal sealed record VmFile(string Path, QemuOptions Options);

/// <summary>Saved VMs without zero pages, each made once by QEMU itself (`migrate file:`, mapped-ram).</summary>
internal sealed class VmFiles(QemuVersion version, WorkFolder work)
{
    private readonly Dictionary<(VmKind Kind, int RamMiB), VmFile> _made = [];

    public async Task<VmFile> GetAsync(VmKind kind, int ramMiB, CancellationToken token)
    {
        if (_made.TryGetValue((kind, ramMiB), out var file))
        {
            return file;
        }

        file = new VmFile(work[$"{kind}-{ramMiB}.vm"], new QemuOptions
        {
            Version = version,
            Machine = version.NewestMachine,
            MemoryMiB = ramMiB,
            Disk = kind == VmKind.Sleeper
                ? new GuestDisk { RandomOnly = true }
                : new GuestDisk { RandomOnly = true, WindowBytes = 64 * 1024, PagesCheckedPerPass = 16 },
        });
        await Console.Error.WriteLineAsync($"QEMU {version}: a VM of {ramMiB} MiB");
        await using var source = await QemuProcess.StartAsync(file.Options, work, "saved", token);
        await source.Console.WaitForAsync(report => report.Pass >= 2, "the second pass", token);
        await source.PrepareMigrationAsync(new MigrationSettings { MappedRam = true, Channels = 4 }, token);
        await source.MigrateAsync($"file:{file.Path}", token);
        // DP fill TTTTTTTT: up to where it uses its memory.
        var top = source.Console.Lines.Single(line => line.StartsWith("DP fill ", StringComparison.Ordinal))["DP fill ".Length..];
        var end = long.Parse(top, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        MemoryFiller.FillZeroPages(file.Path, (end + (1 << 20) - 1) & -(1 << 20));
        _made.Add((kind, ramMiB), file);
        return file;
    }

    /// <summary>A file that is not needed any more takes page cache from the others.</summary>
    public void Drop(VmKind kind, int ramMiB)
    {
        if (_made.Remove((kind, ramMiB), out var file))
        {
            File.Delete(file.Path);
        }
    }

    /// <summary>Starts a QEMU that loads the VM from its file and runs it, unless it shall stay stopped.</summary>
    public static async Task<QemuProcess> LoadAsync(QemuOptions options, string path, WorkFolder work, string name, CancellationToken token)
    {
        var machine = await QemuProcess.StartAsync(options, work, name, token);
        try
        {
            await machine.PrepareMigrationAsync(new MigrationSettings { MappedRam = true, Channels = 4 }, token);
            await machine.StartIncomingAsync($"file:{path}", token);
            await machine.WaitForMigrationAsync("completed", token);
            if (!options.StayStopped)
            {
                await machine.Console.WaitForAsync(_ => true, "it goes on", token);
            }

            JsonArray off = [.. ((string[])["mapped-ram", "multifd"]).Select(
                name => (JsonNode)new JsonObject { ["capability"] = name, ["state"] = false })];
            await machine.ExecuteAsync("migrate-set-capabilities", new JsonObject { ["capabilities"] = off }, token);
            return machine;
        }
        catch
        {
            await machine.DisposeAsync();
            throw;
        }
    }
}
