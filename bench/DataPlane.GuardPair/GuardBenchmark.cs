using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.BenchSupport;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>All legs, interleaved, so that a slow minute of the machine hits each of them.</summary>
internal sealed class GuardBenchmark(string label, int ramMiB, int channels, int pages, IReadOnlyList<string> legs)
{
    // Urgent pages: the guard against nothing at all.
    private readonly string[] _latencyLegs = [.. legs.Where(leg => leg is Fronts.Direct or Fronts.Guard)];

    public async Task<int> RunAsync(int runs, FileInfo? json, CancellationToken token)
    {
        if (QemuInstallation.WhyNot() is { } reason)
        {
            await Console.Error.WriteLineAsync(reason);
            return 1;
        }

        var version = QemuVersion.Parse(label);
        using var work = new WorkFolder();
        var migrations = await MeasureThroughputAsync(version, runs, work, token);
        var latencies = await MeasureLatencyAsync(runs, work, token);
        var postcopies = await MeasurePostcopyAsync(version, runs, work, token);

        var summary = Report.Summarize(migrations, latencies);
        foreach (var (name, value) in summary)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {value!.GetValue<double>():0.###}"));
        }

        if (json is not null)
        {
            var document = Report.Document(version, (long)ramMiB << 20, channels, summary, migrations, latencies, postcopies);
            await MachineFacts.WriteAsync(json, document, token);
        }

        return 0;
    }

    private async Task<List<MigrationSample>> MeasureThroughputAsync(
        QemuVersion version, int runs, WorkFolder work, CancellationToken token)
    {
        var options = new QemuOptions
        {
            Version = version,
            Machine = version.NewestMachine,
            MemoryMiB = ramMiB,
            Disk = new GuestDisk { RandomOnly = true, WindowBytes = 0, PagesCheckedPerPass = 64 },
        };
        await using var migrations = new MigrationLeg(options, channels, work);
        await Console.Error.WriteLineAsync($"QEMU {QemuInstallation.FullVersion(version)}: filling {ramMiB} MiB");
        await migrations.StartAsync(token);
        var samples = new List<MigrationSample>();
        for (var run = 0; run < runs; run++)
        {
            foreach (var leg in Turn(legs, run))
            {
                var sample = await migrations.RunAsync(leg, run, token);
                samples.Add(sample);
                var (rate, cpu) = (sample.BytesPerSecond / 1e9, sample.FrontCpuSeconds);
                await SayAsync($"run {run + 1} {leg,-8} {sample.Seconds:0.000} s  {rate:0.00} GB/s  front {cpu:0.00} s CPU");
            }
        }

        return samples;
    }

    private async Task<List<LatencySample>> MeasureLatencyAsync(int runs, WorkFolder work, CancellationToken token)
    {
        var latency = new LatencyLeg(pages, work);
        var samples = new List<LatencySample>();
        for (var run = 0; run < runs; run++)
        {
            foreach (var busy in (bool[])[false, true])
            {
                foreach (var leg in Turn(_latencyLegs, run))
                {
                    var sample = await latency.RunAsync(leg, run, busy, token);
                    samples.Add(sample);
                    var main = busy ? "busy" : "idle";
                    await SayAsync($"run {run + 1} {leg,-8} page, main {main}: p50 {sample.Median:0.0} us, p99 {sample.P99:0.0} us");
                }
            }
        }

        return samples;
    }

    private async Task<List<JsonObject>> MeasurePostcopyAsync(QemuVersion version, int runs, WorkFolder work, CancellationToken token)
    {
        var postcopy = new PostcopyLeg(version, work);
        var samples = new List<JsonObject>();
        for (var run = 0; run < runs; run++)
        {
            foreach (var leg in Turn(_latencyLegs, run))
            {
                var sample = await postcopy.RunAsync(leg, run, token);
                samples.Add(sample);
                var (requests, latency) = (sample["postcopy_requests"], sample["postcopy_latency"]);
                await SayAsync($"run {run + 1} {leg,-8} postcopy: {requests} requests, {latency} ns each by QEMU's own count");
            }
        }

        return samples;
    }

    /// <summary>Whoever goes first in one run goes last in the next.</summary>
    private static IEnumerable<string> Turn(IReadOnlyList<string> legs, int run) => legs.Select((_, i) => legs[(i + run) % legs.Count]);

    private static Task SayAsync(FormattableString line) => Console.Error.WriteLineAsync(line.ToString(CultureInfo.InvariantCulture));
}
