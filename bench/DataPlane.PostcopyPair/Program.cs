using System.CommandLine;
using DataPlane.PostcopyPair;

var runs = new Option<int>("--runs") { Description = "Repetitions of every leg", DefaultValueFactory = _ => 3 };
var version = new Option<string>("--qemu")
{
    Description = "Which QEMU: 11.1, which counts its page faults",
    DefaultValueFactory = _ => "11.1",
};
version.AcceptOnlyFromAmong("11.1");
var legs = new Option<string[]>("--legs")
{
    Description = "What is measured: faults, downtime, restore, total",
    AllowMultipleArgumentsPerToken = true,
    DefaultValueFactory = _ => [.. PostcopyBenchmark.AllLegs],
};
legs.AcceptOnlyFromAmong([.. PostcopyBenchmark.AllLegs]);
var cases = new Option<string[]>("--cases")
{
    Description = "Which page faults, of all that are named PAGE_CHANNEL_LOAD, e.g. 4K_preempt_busy",
    AllowMultipleArgumentsPerToken = true,
    DefaultValueFactory = _ => [.. FaultCase.All.Select(about => about.Name)],
};
cases.AcceptOnlyFromAmong([.. FaultCase.All.Select(about => about.Name)]);
var sizes = new Option<int[]>("--sizes")
{
    Description = "Guests of the downtime and restore legs in GiB; twice that must be free",
    AllowMultipleArgumentsPerToken = true,
    DefaultValueFactory = _ => [1, 4],
};
var onlyOurs = new Option<bool>("--only-ours") { Description = "Faults and totals without those compared with: for a profiler" };
var json = new Option<FileInfo?>("--json") { Description = "Where all samples go" };
var command = new RootCommand("Postcopy between two of ours, from QEMU to QEMU, and of saved VMs into QEMU, interleaved.")
{
    runs, version, legs, cases, sizes, onlyOurs, json,
};
command.SetAction(async (parsed, token) => await new PostcopyBenchmark(new BenchmarkOptions(
    parsed.GetValue(version)!, parsed.GetValue(legs)!, parsed.GetValue(cases)!, parsed.GetValue(sizes)!, parsed.GetValue(onlyOurs)))
    .RunAsync(parsed.GetValue(runs), parsed.GetValue(json), token));
return await command.Parse(args).InvokeAsync();
