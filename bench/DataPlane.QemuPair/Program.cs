using System.CommandLine;
using DataPlane.QemuPair;

var runs = new Option<int>("--runs") { Description = "Repetitions of every leg", DefaultValueFactory = _ => 7 };
var ram = new Option<int>("--ram") { Description = "Guest RAM in MiB", DefaultValueFactory = _ => 1024 };
var channels = new Option<int>("--channels") { Description = "multifd channels", DefaultValueFactory = _ => 4 };
var version = new Option<string>("--qemu")
{
    Description = "Which QEMU, on both sides: 7.2, 10.0 or 11.1",
    DefaultValueFactory = _ => "11.1",
};
var tls = new Option<bool>("--tls")
{
    Description = "All channels of all legs inside TLS, and one more leg: ours through the runtime's SslStream",
};
var compression = new Option<string>("--compression")
{
    Description = "none, zlib or zstd, on all sides",
    DefaultValueFactory = _ => "none",
};
compression.AcceptOnlyFromAmong("none", "zlib", "zstd");
var level = new Option<int?>("--level") { Description = "QEMU's level (default: its own, 1)" };
var ourLevel = new Option<int?>("--our-level") { Description = "The level of `dataplane bench` (default: its own)" };
var memory = new Option<string>("--memory")
{
    Description = "random: all pages differ and none shrinks; mixed: zero, text, code and random pages",
    DefaultValueFactory = _ => "random",
};
memory.AcceptOnlyFromAmong("random", "mixed");
var json = new Option<FileInfo?>("--json") { Description = "Where all samples go" };
var command = new RootCommand(
    "A paused guest, from QEMU to QEMU (destination preallocated, and not) and by `dataplane bench`, interleaved.")
{
    runs, ram, channels, version, tls, compression, level, ourLevel, memory, json,
};
command.SetAction(async (parsed, token) =>
{
    var pair = new PairBenchmark(new PairOptions
    {
        Qemu = parsed.GetValue(version)!,
        RamMiB = parsed.GetValue(ram),
        Channels = parsed.GetValue(channels),
        Tls = parsed.GetValue(tls),
        Compression = parsed.GetValue(compression)!,
        Level = parsed.GetValue(level),
        OurLevel = parsed.GetValue(ourLevel),
        Mixed = parsed.GetValue(memory) == "mixed",
    });
    return await pair.RunAsync(parsed.GetValue(runs), parsed.GetValue(json), token);
});
return await command.Parse(args).InvokeAsync();
