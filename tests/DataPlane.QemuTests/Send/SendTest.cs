using System.Text.Json;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// What the tests of `dataplane send` share: a waiting QEMU, a VM that goes there, and what must hold when it has arrived.
/// </summary>
public abstract class SendTest(SavedVms vms) : QemuTest
{
    private protected SavedVms Vms => vms;

    /// <summary>The machine type of a pair of QEMUs: one that both have.</summary>
    private protected static string MachineFor(params IEnumerable<QemuVersion> versions) =>
        versions.Contains(QemuVersion.V72) ? "pc-q35-7.2" : "pc-q35-10.0";

    /// <summary>
    /// Sends a VM to a QEMU of a version, compares the memory of the guest that stands still there with the file, and lets it run on.
    /// </summary>
    private protected async Task<SendResult> ArrivesAsync(SavedVm vm, QemuVersion version, SendVariant variant, string? listenAt = null)
    {
        if (variant.IsSecured)
        {
            using var authority = new TestAuthority();
            var folder = CopyForQemu(authority.Folder);
            variant = variant.Between(folder, folder);
        }

        var destination = await WaitingAsync(vm, version, variant.Qemu, variant.QemuArguments, listenAt: listenAt);
        await using var send = await SendProcess.StartAsync(vm.Path, destination.Uri, variant.Qemu.Channels, Work,
            ["--timeout", "60s", .. variant.Options]);

        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        using (var file = MappedRamFile.Open(vm.Path))
        {
            var difference = file.FirstDifference(file.Ram, await destination.Machine.SaveMemoryAsync(Token));
            Assert.True(difference is null, $"pc.ram differs from the file at 0x{difference:x}");
            CheckResult(result.Json, file, variant.Qemu.Channels);
        }

        await RunsOnAsync(destination.Machine, vm.Last);
        return result;
    }

    /// <summary>A QEMU that waits for a VM and will not run it by itself.</summary>
    private protected async Task<(QemuProcess Machine, string Uri)> WaitingAsync(
        SavedVm vm, QemuVersion version, MigrationSettings settings,
        IReadOnlyList<string>? arguments = null, Func<QemuOptions, QemuOptions>? change = null, string? listenAt = null)
    {
        var options = vm.Options.IncomingIn(version) with { StayStopped = true, Extra = [.. vm.Options.Extra, .. arguments ?? []] };
        var machine = await StartAsync(change is null ? options : change(options), "destination");
        await machine.PrepareMigrationAsync(settings, Token);
        return (machine, await machine.StartIncomingAsync(listenAt ?? "tcp:127.0.0.1:0", Token));
    }

    /// <summary>Credentials where QEMUs can see them.</summary>
    private protected string CopyForQemu(string folder)
    {
        var copy = Work.NewFolder(Path.GetRandomFileName());
        foreach (var file in Directory.GetFiles(folder))
        {
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        }

        return copy;
    }

    /// <summary>A guest that stands still after its arrival goes on counting from where it was.</summary>
    private protected static async Task RunsOnAsync(QemuProcess destination, GuestReport last)
    {
        await destination.ContinueGuestAsync(Token);
        var first = await destination.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(first.Pass, last.Pass + 1, last.Pass + 3);
        await destination.Console.WaitForAsync(report => report.Pass > first.Pass, "it counts on", Token);
    }

    /// <summary>Exit code 1, one line that says what, on which channel and in which phase, and the guest still here.</summary>
    private protected static void CheckFailure(SendResult result, string expectedInLine)
    {
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join('\n', result.Errors));
        Assert.True(result.ExitCode == 1, result.ToString());
        var line = Assert.Single(result.Errors, line => !line.StartsWith("warning:", StringComparison.Ordinal));
        Assert.Contains(expectedInLine, line, StringComparison.Ordinal);
        Assert.Contains("phase ", line, StringComparison.Ordinal);
        Assert.Contains("channel ", line, StringComparison.Ordinal);
        Assert.Equal("failed", result.Json.GetProperty("result").GetString());
        Assert.Equal("here", result.Json.GetProperty("guest").GetString());
    }

    private static void CheckResult(JsonElement json, MappedRamFile file, int channels)
    {
        Assert.Equal("ok", json.GetProperty("result").GetString());
        Assert.Equal("at_destination", json.GetProperty("guest").GetString());
        Assert.Equal(file.Machine, json.GetProperty("machine").GetString());
        Assert.Equal(file.Devices.Count, json.GetProperty("devices").GetArrayLength());
        Assert.Equal(
            file.Blocks.Select(block => (block.Name, block.Length, file.Sha256(block))),
            json.GetProperty("blocks").EnumerateArray().Select(block =>
                (
                block.GetProperty("name").GetString()!,
                block.GetProperty("size_bytes").GetInt64(),
                block.GetProperty("sha256").GetString()!)));
        Assert.Equal(1 + channels, json.GetProperty("channels").GetArrayLength());
        Assert.Equal(
            file.Blocks.Sum(block => block.Length) / MappedRamBlock.PageSize,
            json.GetProperty("normal_pages").GetInt64() + json.GetProperty("zero_pages").GetInt64());
    }
}
