using System.CommandLine;
using DataPlane.AdmissionLatency;

var rounds = new Option<int>("--rounds")
{
    Description = "Rounds per number of silent connections; each admits 255 channels",
    DefaultValueFactory = _ => 8,
};
var silent = new Option<int[]>("--silent")
{
    Description = "Numbers of silent connections held",
    DefaultValueFactory = _ => [0, 1000, 10000],
    AllowMultipleArgumentsPerToken = true,
};
var idle = new Option<double>("--idle-seconds") { Description = "How long idle CPU is watched", DefaultValueFactory = _ => 10 };
var json = new Option<FileInfo?>("--json") { Description = "Where all samples go" };
var command = new RootCommand("How long admission takes from a connection's deciding byte, and what silent connections cost it.")
{
    rounds, silent, idle, json,
};
command.SetAction((parsed, token) => new AdmissionScenario(
    parsed.GetValue(silent)!, parsed.GetValue(rounds), TimeSpan.FromSeconds(parsed.GetValue(idle))).RunAsync(parsed.GetValue(json), token));

var count = new Argument<int>("count");
var port = new Argument<int>("port");
var hold = new Command("hold", "Holds silent connections until its input ends; started by the scenario itself.") { count, port };
hold.Hidden = true;
hold.SetAction(parsed => SilentCrowd.Hold(parsed.GetValue(count), parsed.GetValue(port)));
command.Subcommands.Add(hold);
return await command.Parse(args).InvokeAsync();
