using System.CommandLine;
using DataPlane.GuardPair;

var runs = new Option<int>("--runs") { Description = "Repetitions of every leg", DefaultValueFactory = _ => 7 };
var ram = new Option<int>("--ram") { Description = "Guest RAM in MiB", DefaultValueFactory = _ => 1024 };
var channels = new Option<int>("--channels") { Description = "multifd channels", DefaultValueFactory = _ => 4 };
var pages = new Option<int>("--pages") { Description = "Urgent pages of one latency run", DefaultValueFactory = _ => 20_000 };
var version = new Option<string>("--qemu")
{
    Description = "Which QEMU, on both sides: 7.2, 10.0 or 11.1",
    DefaultValueFactory = _ => "11.1",
};
var legs = new Option<string[]>("--legs")
{
    Description = "What is measured: direct, guard, haproxy, socat",
    AllowMultipleArgumentsPerToken = true,
    DefaultValueFactory = _ => [.. Fronts.All],
};
legs.AcceptOnlyFromAmong([.. Fronts.All]);
var json = new Option<FileInfo?>("--json") { Description = "Where all samples go" };
var command = new RootCommand(
    "A paused guest without zero pages from QEMU to QEMU: directly, through `dataplane guard`, haproxy and socat, interleaved; "
        + "and the time of an urgent page.")
{
    runs, ram, channels, pages, version, legs, json,
};
command.SetAction(async (parsed, token) =>
{
    var benchmark = new GuardBenchmark(
        parsed.GetValue(version)!, parsed.GetValue(ram), parsed.GetValue(channels), parsed.GetValue(pages), parsed.GetValue(legs)!);
    return await benchmark.RunAsync(parsed.GetValue(runs), parsed.GetValue(json), token);
});
return await command.Parse(args).InvokeAsync();
