using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.BenchSupport;
using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>What is to be measured.</summary>
internal sealed record BenchmarkOptions(
    string Qemu, IReadOnlyList<string> Legs, IReadOnlyList<string> Cases, IReadOnlyList<int> Sizes, bool OnlyOurs);

/// <summary>All legs, interleaved, so that a slow minute of the machine hits each of them.</summary>
internal sealed class PostcopyBenchmark(BenchmarkOptions options)
{
    public const string Faults = "faults";
    public const string Downtime = "downtime";
    public const string Restore = "restore";
    public const string Total = "total";

    private const int TotalRamMiB = 1024;

    // Ours, or both of QEMU's.
    private const int ReservedMiB = 2 * 1024;

    private readonly List<FaultSample> _faults = [];
    private readonly List<JsonObject> _downtimes = [];
    private readonly List<JsonObject> _restores = [];
    private readonly List<JsonObject> _totals = [];

    public static IReadOnlyList<string> AllLegs { get; } = [Faults, Downtime, Restore, Total];

    public async Task<int> RunAsync(int runs, FileInfo? json, CancellationToken token)
    {
        if (QemuInstallation.WhyNot() is { } reason)
        {
            await Console.Error.WriteLineAsync(reason);
            return 1;
        }

        var version = QemuVersion.Parse(options.Qemu);
        using var work = new WorkFolder();
        var files = new VmFiles(version, work);
        if (options.Legs.Contains(Faults))
        {
            await MeasureFaultsAsync(runs, files, work, token);
        }

        if (options.Legs.Contains(Total))
        {
            await MeasureTotalsAsync(runs, files, work, token);
        }

        if (options.Legs.Contains(Downtime))
        {
            await RepeatAsync(runs, Downtime, _downtimes, DowntimeLeg.RunAsync, token);
        }

        if (options.Legs.Contains(Restore))
        {
            await RepeatAsync(runs, Restore, _restores, new RestoreLeg(files, work).RunAsync, token);
        }

        Figure[] figures =
        [
            .. Figures.OfFaults(_faults),
            .. Figures.OfTotals(_totals),
            .. Figures.OfDowntimes(_downtimes),
            .. Figures.OfRestores(_restores),
        ];
        foreach (var figure in figures)
        {
            Console.WriteLine(figure);
        }

        if (json is not null)
        {
            await MachineFacts.WriteAsync(json, Document(version, figures), token);
        }

        return 0;
    }

    private async Task MeasureFaultsAsync(int runs, VmFiles files, WorkFolder work, CancellationToken token)
    {
        FaultCase[] cases = [.. FaultCase.All.Where(about => options.Cases.Contains(about.Name))];
        using var reserved = Array.Exists(cases, about => about.IsHuge) ? ReservedPages.TryTake(ReservedMiB) : null;
        if (reserved is null && Array.Exists(cases, about => about.IsHuge))
        {
            await Console.Error.WriteLineAsync("pages of 2 MiB are left out: the system does not reserve so many");
            cases = [.. cases.Where(about => !about.IsHuge)];
        }

        using var ours = new OurFaultLeg();
        var qemu = new QemuFaultLeg(files, work);
        // Code that has not run yet is compiled first.
        if (cases is [var first, ..])
        {
            await ours.RunAsync(first, -1, token);
        }

        List<Func<FaultCase, int, CancellationToken, Task<FaultSample>>> legs =
            options.OnlyOurs ? [ours.RunAsync] : [ours.RunAsync, qemu.RunAsync, BareFaultLeg.RunAsync];
        for (var run = 0; run < runs; run++)
        {
            foreach (var about in cases)
            {
                foreach (var leg in Turn(legs, run))
                {
                    if (leg.Method.DeclaringType == typeof(BareFaultLeg) && !about.Preempt)
                    {
                        continue; // the bare exchange has two connections
                    }

                    var sample = await leg(about, run, token);
                    _faults.Add(sample);
                    await SayAsync($"run {run + 1} {sample}");
                }
            }
        }
    }

    private async Task MeasureTotalsAsync(int runs, VmFiles files, WorkFolder work, CancellationToken token)
    {
        using var totals = new TotalLeg(TotalRamMiB, !options.OnlyOurs, files, work);
        await totals.OurSecondsAsync(postcopy: true, token);
        for (var run = 0; run < runs; run++)
        {
            var sample = await totals.RunAsync(run, token);
            _totals.Add(sample);
            await SayAsync($"run {run + 1} total {sample.ToJsonString()}");
        }
    }

    private async Task RepeatAsync(
        int runs,
        string leg,
        List<JsonObject> samples,
        Func<int, int, CancellationToken, Task<JsonObject>> measure,
        CancellationToken token)
    {
        for (var run = 0; run < runs; run++)
        {
            foreach (var size in Turn(options.Sizes, run))
            {
                var sample = await measure(size, run, token);
                samples.Add(sample);
                await SayAsync($"run {run + 1} {leg} {sample.ToJsonString()}");
            }
        }
    }

    /// <summary>Whoever goes first in one run goes last in the next.</summary>
    private static IEnumerable<T> Turn<T>(IReadOnlyList<T> legs, int run) => legs.Select((_, i) => legs[(i + run) % legs.Count]);

    private static Task SayAsync(FormattableString line) => Console.Error.WriteLineAsync(line.ToString(CultureInfo.InvariantCulture));

    private JsonObject Document(QemuVersion version, Figure[] figures) => new()
    {
        ["schema"] = "dataplane.postcopy-pair/1",
        ["created_utc"] = MachineFacts.Now(),
        ["machine"] = MachineFacts.ToJson(),
        ["qemu"] = QemuInstallation.FullVersion(version),
        ["fault_microseconds_are"] =
            "dataplane: a touch outside of managed code in a thread of the destination, from before it until after it, pages in an order "
            + "that looks random; qemu: its own count from reading the fault to placing the page, interpolated inside buckets of powers of "
            + "two, the monitor touching pages in the same order; bare: request, page and one UFFDIO_COPY without a fault",
        ["downtime_is"] = "from stopping the guest to the destination's confirmation that its devices are loaded",
        ["restore_milliseconds_are"] = "until the guest's first whole line on the serial port; the file is in the page cache",
        ["figures"] = new JsonArray([.. figures.Select(figure => (JsonNode)figure.ToJson())]),
        ["faults"] = new JsonArray([.. _faults.Select(sample => (JsonNode)sample.ToJson())]),
        ["totals"] = new JsonArray([.. _totals]),
        ["downtimes"] = new JsonArray([.. _downtimes]),
        ["restores"] = new JsonArray([.. _restores]),
    };
}
