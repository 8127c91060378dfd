using System.CommandLine;
using DataPlane.QemuPair;

var runs = new Option<int>("--runs") { Description = "Repetitions of every leg", DefaultValueFactory = _ => 7 };
var ram = new Option<int>("--ram") { Description = "Guest RAM in MiB", DefaultValueFactory = _ => 1024 };
var channels = new Option<int>("--channels") { Description = "multifd channels", DefaultValueFactory = _ => 4 };
var version = new Option<string>("--qemu") { Description = "Which QEMU, on both sides: 7.2, 10.0 or 11.1", DefaultValueFactory = _ => "11.1" };
var tls = new Option<bool>("--tls") { Description = "All channels of all legs inside TLS, and one more leg: ours through the runtime's SslStream" };
var json = new Option<FileInfo?>("--json") { Description = "Where all samples go" };
var command = new RootCommand("A paused guest without zero pages, from QEMU to QEMU (destination preallocated, and not) and by `dataplane bench`, interleaved.")
{
    runs, ram, channels, version, tls, json,
};
command.SetAction(async (parsed, token) =>
{
    var pair = new PairBenchmark(parsed.GetValue(version)!, parsed.GetValue(ram), parsed.GetValue(channels), parsed.GetValue(tls));
    return await pair.RunAsync(parsed.GetValue(runs), parsed.GetValue(json), token);
});
return await command.Parse(args).InvokeAsync();
