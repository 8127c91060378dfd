using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>
/// A saved VM comes back to life in a waiting QEMU: `dataplane send --postcopy --preempt`, against QEMU that loads the same file itself
/// with four multifd channels. The time ends when the guest has said a whole line on its serial port.
/// </summary>
internal sealed class RestoreLeg(VmFiles files, WorkFolder work)
{
    private static readonly string[] s_phasesBeforeStart = ["connecting", "setup", "switchover", "device_state"];

    private int _started;

    public async Task<JsonObject> RunAsync(int gibibytes, int run, CancellationToken token)
    {
        var vm = await files.GetAsync(VmKind.Talker, gibibytes << 10, token);
        await WarmAsync(vm.Path, token);
        var sample = new JsonObject { ["run"] = run, ["ram_gibibytes"] = gibibytes, ["file_bytes"] = new FileInfo(vm.Path).Length };
        Func<Task>[] turns = [() => LoadAsync(vm, sample, token), () => SendAsync(vm, sample, token)];
        await turns[run % 2]();
        await turns[1 - (run % 2)]();
        return sample;
    }

    private async Task LoadAsync(VmFile vm, JsonObject sample, CancellationToken token)
    {
        await using var machine = await WaitingAsync(vm, new MigrationSettings { MappedRam = true, Channels = 4 }, token);
        var begin = DateTime.UtcNow;
        await machine.StartIncomingAsync($"file:{vm.Path}", token);
        var speaks = await SpeaksAsync(machine, token);
        sample["qemu_milliseconds"] = (speaks - begin).TotalMilliseconds;
    }

    private async Task SendAsync(VmFile vm, JsonObject sample, CancellationToken token)
    {
        await using var machine = await WaitingAsync(
            vm, new MigrationSettings { Capabilities = ["postcopy-ram", "postcopy-preempt", "postcopy-blocktime"] }, token);
        var uri = await machine.StartIncomingAsync("tcp:127.0.0.1:0", token);
        var begin = DateTime.UtcNow;
        await using var send = await SendProcess.StartAsync(vm.Path, uri, 0, work, ["--postcopy", "--preempt"]);
        var speaks = await SpeaksAsync(machine, token);
        var result = await send.WaitAsync(token);
        if (result.ExitCode != 0)
        {
            throw new InvalidOperationException(result.ToString());
        }

        var received = await machine.WaitForMigrationAsync("completed", token);

        var start = result.Json.GetProperty("postcopy").GetProperty("start_seconds").GetDouble();
        var untilStart = start + result.Json.GetProperty("phases").EnumerateArray()
            .Where(static phase => s_phasesBeforeStart.Contains(phase.GetProperty("name").GetString()))
            .Sum(static phase => phase.GetProperty("seconds").GetDouble());
        // Two ways to the time of the first connect, neither to the point: by our own phases up to the start of the guest, and by when QEMU
        // had read the first bytes. The longer one counts.
        var byPhases = (untilStart * 1e3) + (speaks - await machine.TimeOfGuestAsync(token)).TotalMilliseconds;
        var byEvent = (speaks - await machine.TimeOfStateAsync("active", token)).TotalMilliseconds;
        sample["process_milliseconds"] = (speaks - begin).TotalMilliseconds;
        sample["connect_milliseconds"] = Math.Max(byPhases, byEvent);
        sample["package_to_pong_milliseconds"] = start * 1e3;
        sample["all_memory_seconds"] = result.Json.GetProperty("seconds").GetDouble();
        sample["faults"] = LatencyDistribution.Read(received).ToJson();
    }

    private static async Task<DateTime> SpeaksAsync(QemuProcess machine, CancellationToken token)
    {
        await machine.Console.WaitForAsync(static _ => true, "it goes on", token);
        return DateTime.UtcNow;
    }

    private async Task<QemuProcess> WaitingAsync(VmFile vm, MigrationSettings settings, CancellationToken token)
    {
        var machine = await QemuProcess.StartAsync(
            vm.Options.IncomingIn(vm.Options.Version), work, $"restored-{++_started}", token);
        await machine.PrepareMigrationAsync(settings, token);
        return machine;
    }

    private static async Task WarmAsync(string path, CancellationToken token)
    {
        await using var file = File.OpenRead(path);
        await file.CopyToAsync(Stream.Null, 1 << 20, token);
    }
}
