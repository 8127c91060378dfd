using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.BenchSupport;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuPair;

/// <summary>All legs, interleaved, so that a slow minute of the machine hits each of them.</summary>
internal sealed class PairBenchmark(PairOptions pair)
{
    public async Task<int> RunAsync(int runs, FileInfo? json, CancellationToken token)
    {
        if (QemuInstallation.WhyNot() is { } reason)
        {
            await Console.Error.WriteLineAsync(reason);
            return 1;
        }

        var version = QemuVersion.Parse(pair.Qemu);
        var options = new QemuOptions
        {
            Version = version,
            Machine = version.NewestMachine,
            MemoryMiB = pair.RamMiB,
            Disk = new GuestDisk { RandomOnly = true, WindowBytes = 0, PagesCheckedPerPass = 64 },
        };
        using var work = new WorkFolder();
        using var authority = pair.Tls ? new TestAuthority() : null;
        var credentials = authority is null ? null : CopyTo(work.NewFolder("tls"), authority);
        var memory = pair.Mixed ? MixedMemory.Write(pair.RamMiB, work) : null;
        await using var qemu = new QemuLeg(options, pair, memory, credentials, work);
        var dataPlane = new DataPlaneLeg(pair, memory, credentials, work);
        await Console.Error.WriteLineAsync($"QEMU {QemuInstallation.FullVersion(version)}: filling {pair.RamMiB} MiB");
        await qemu.StartAsync(token);
        List<Func<int, Task<Sample>>> legs =
        [
            run => qemu.RunAsync(run, preallocated: true, token),
            run => dataPlane.RunAsync(run, token),
            run => qemu.RunAsync(run, preallocated: false, token),
        ];
        if (credentials is not null)
        {
            var sslStream = DataPlaneLeg.WithSslStream(pair, memory, credentials, work);
            legs.Add(run => sslStream.RunAsync(run, token));
        }

        var samples = new List<Sample>();
        for (var run = 0; run < runs; run++)
        {
            for (var leg = 0; leg < legs.Count; leg++)
            {
                var sample = await legs[(leg + run) % legs.Count](run); // whoever goes first in one run goes last in the next
                samples.Add(sample);
                await Console.Error.WriteLineAsync(string.Create(
                    CultureInfo.InvariantCulture,
                    $"run {run + 1} {sample.Leg,-17} {sample.Seconds:0.000} s  "
                    + $"{MemoryRate(sample) / 1e9:0.00} GB/s of memory, ratio {Ratio(sample):0.00}"));
            }
        }

        var summary = Summarize(samples);
        foreach (var (name, value) in summary)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {value!.GetValue<double>():0.###}"));
        }

        if (json is not null)
        {
            await MachineFacts.WriteAsync(json, Document(version, samples, summary), token);
        }

        return 0;
    }

    /// <summary>The folder is where QEMUs can see it.</summary>
    private static string CopyTo(string folder, TestAuthority authority)
    {
        foreach (var file in Directory.GetFiles(authority.Folder))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        return folder;
    }

    /// <summary>Bytes of guest memory per second: what is left of it on the wire is what compression is for.</summary>
    private double MemoryRate(Sample sample) => ((long)pair.RamMiB << 20) / sample.Seconds;

    private double Ratio(Sample sample) => (double)((long)pair.RamMiB << 20) / sample.TransferredBytes;

    private JsonObject Summarize(List<Sample> samples)
    {
        double Rate(string leg) => Statistics.Median(samples.Where(sample => sample.Leg == leg).Select(MemoryRate));
        double Faster(string leg) => Statistics.Median(samples.Where(sample => sample.Leg == "dataplane").Select(ours =>
            samples.Single(theirs => theirs.Leg == leg && theirs.Run == ours.Run).Seconds / ours.Seconds));
        double Smaller(string leg) => Statistics.Median(samples.Where(sample => sample.Leg == leg).Select(Ratio));

        var summary = new JsonObject
        {
            ["dataplane_bytes_per_second"] = Rate("dataplane"),
            ["qemu_preallocated_bytes_per_second"] = Rate("qemu_preallocated"),
            ["qemu_bytes_per_second"] = Rate("qemu"),
            ["ratio_to_qemu_preallocated"] = Faster("qemu_preallocated"),
            ["ratio_to_qemu"] = Faster("qemu"),
            ["dataplane_compression_ratio"] = Smaller("dataplane"),
            ["qemu_compression_ratio"] = Smaller("qemu_preallocated"),
        };
        if (samples.Exists(sample => sample.Leg == "dataplane_sslstream"))
        {
            summary["ratio_to_dataplane_sslstream"] = Faster("dataplane_sslstream");
        }

        foreach (var leg in samples.GroupBy(sample => sample.Leg))
        {
            summary[$"{leg.Key}_cpu_seconds"] = Statistics.Median(
                leg.Select(sample => sample.SourceCpuSeconds + sample.DestinationCpuSeconds));
        }

        return summary;
    }

    private JsonObject Document(QemuVersion version, List<Sample> samples, JsonObject summary) => new()
    {
        ["schema"] = "dataplane.qemu-pair/1",
        ["created_utc"] = MachineFacts.Now(),
        ["machine"] = MachineFacts.ToJson(),
        ["qemu"] = QemuInstallation.FullVersion(version),
        ["ram_bytes"] = (long)pair.RamMiB << 20,
        ["channels"] = pair.Channels,
        ["tls"] = pair.Tls,
        ["compression"] = pair.Compression,
        ["qemu_level"] = pair.IsCompressed ? pair.Level ?? 1 : null,
        ["dataplane_level"] = pair.OurLevel?.ToString(CultureInfo.InvariantCulture) ?? "default",
        ["memory"] = pair.Mixed
            ? "mixed: runs of 1 to 64 pages, 30 % zero, 25 % text (XML of the SDK), 20 % code (its libraries), 25 % random"
            : "random",
        ["rates_are"] =
            "bytes of guest memory per second, zero pages included; compression ratios: bytes of guest memory over bytes on the wire",
        ["seconds_are"] =
            "from before the first connect until the destination's confirmation; "
            + "dataplane: as bench reports it; QEMU: total-time of the source",
        ["samples"] = new JsonArray([.. samples.Select(sample => (JsonNode)sample.ToJson())]),
        ["summary"] = summary,
    };
}
