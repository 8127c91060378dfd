using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;

namespace DataPlane.AdmissionLatency;

/// <summary>All legs, interleaved, so that a slow minute of the machine hits each of them.</summary>
internal sealed class AdmissionScenario(int[] silent, int rounds, TimeSpan idle)
{
    private const int Channels = AdmissionOptions.MaxMultifdChannels;
    private const int InitSize = 64;

    private static readonly TimeSpan s_settle = TimeSpan.FromSeconds(2);

    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    public async Task<int> RunAsync(FileInfo? json, CancellationToken token)
    {
        Leg[] legs = [.. silent.Select(static count => new Leg(count))];
        await RoundAsync(new Leg(0), watchIdle: false, token); // what the runtime compiles and opens once
        for (var round = 0; round < rounds; round++)
        {
            for (var leg = 0; leg < legs.Length; leg++)
            {
                await RoundAsync(legs[(leg + round) % legs.Length], watchIdle: round == 0, token);
            }
        }

        foreach (var leg in legs)
        {
            Console.WriteLine(leg.Describe());
        }

        if (json is not null)
        {
            json.Directory?.Create();
            await File.WriteAllTextAsync(json.FullName, Document(legs).ToJsonString(s_indented) + "\n", token);
        }

        return 0;
    }

    private async Task RoundAsync(Leg leg, bool watchIdle, CancellationToken token)
    {
        var options = new AdmissionOptions
        {
            MultifdChannels = Channels,
            UndecidedTimeout = TimeSpan.FromHours(1),
            MaxUndecided = leg.Silent + 1024,
            MaxUndecidedPerPeer = leg.Silent + 1024,
        };
        await using var admission = ChannelAdmission.Listen(
            [ChannelAddress.Parse("127.0.0.1:0")], options, new ChannelOptions { ListenBacklog = 4096 },
            TimeProvider.System, NullLogger.Instance);
        var port = admission.LocalAddresses[0].Port;
        var (managed, resident) = Memory();
        await using var crowd = leg.Silent == 0 ? null : await SilentCrowd.StartAsync(leg.Silent, port, token);
        SpinWait.SpinUntil(() => admission.Undecided == leg.Silent);
        if (watchIdle)
        {
            if (leg.Silent > 0)
            {
                var (managedAfter, residentAfter) = Memory();
                leg.ManagedBytesPerConnection.Add((managedAfter - managed) / (double)leg.Silent);
                leg.ResidentBytesPerConnection.Add((residentAfter - resident) / (double)leg.Silent);
            }

            await WatchIdleAsync(leg, token);
        }

        for (byte id = 0; id < Channels; id++)
        {
            await MeasureAsync(leg, admission, port, id, token);
        }
    }

    private static async Task MeasureAsync(Leg leg, ChannelAdmission admission, int port, byte id, CancellationToken token)
    {
        using var peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        peer.Connect(IPAddress.Loopback, port);
        var init = new byte[InitSize];
        new byte[] { 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1 }.CopyTo(init, 0);
        init[24] = id;
        peer.Send(init, InitSize - 1, SocketFlags.None);
        SpinWait.SpinUntil(() => admission.Undecided == leg.Silent + 1);

        var waiting = admission.AcceptAsync(token);
        var began = Stopwatch.GetTimestamp();
        peer.Send(init.AsSpan(InitSize - 1));
        using var admitted = await waiting;
        leg.EndToEnd.Add(Stopwatch.GetElapsedTime(began).TotalSeconds);
        leg.Decision.Add(admitted.Decision.TotalSeconds);
    }

    private async Task WatchIdleAsync(Leg leg, CancellationToken token)
    {
        await Task.Delay(s_settle, token); // the runtime still compiles what the accepts made hot
        using var self = Process.GetCurrentProcess();
        var (cpu, began) = (self.TotalProcessorTime, Stopwatch.GetTimestamp());
        await Task.Delay(idle, token);
        self.Refresh();
        leg.IdleCpuPercent.Add((self.TotalProcessorTime - cpu) / Stopwatch.GetElapsedTime(began) * 100);
    }

    private static (long Managed, long Resident) Memory()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var managed = GC.GetTotalMemory(forceFullCollection: true);
        using var self = Process.GetCurrentProcess();
        return (managed, self.WorkingSet64);
    }

    private JsonObject Document(Leg[] legs) => new()
    {
        ["schema"] = "dataplane.admission-latency/1",
        ["created_utc"] = DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture),
        ["machine"] = new JsonObject
        {
            ["processor"] = File.ReadLines("/proc/cpuinfo")
                .FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[^1],
            ["cores"] = Environment.ProcessorCount,
            ["kernel"] = File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
            ["runtime"] = RuntimeInformation.FrameworkDescription,
        },
        ["rounds"] = rounds,
        ["idle_seconds"] = idle.TotalSeconds,
        ["end_to_end_is"] = "from before the send of the 64th byte of an init packet until the host's await has returned; "
            + "the 63 bytes before it were taken",
        ["legs"] = new JsonArray([.. legs.Select(static leg => (JsonNode)leg.ToJson())]),
    };
}
