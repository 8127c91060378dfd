using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Guard;
using DataPlane.Tool.Inspect;
using DataPlane.Tool.Output;
using DataPlane.Tool.Postcopy;
using Microsoft.Extensions.Logging;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>Nothing that somebody else has chosen steers the terminal that a command prints on.</summary>
public sealed class EscapedOutputTests
{
    private const string Clipboard = "\e]52;c;aGk=\a";

    [Theory]
    [InlineData("a" + Clipboard + "\n", @"a\u001B]52;c;aGk=\u0007" + "\n")]
    [InlineData("a\tb\n\u202E\r\u009B", "a\tb\n" + @"\u202E\u000D\u009B")]
    public void Stdout_and_stderr_pass_lines_and_tabs_only(string text, string shown)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        var console = new ToolConsole { Out = output, Error = error };

        console.Out.Write(text);
        foreach (var one in text)
        {
            console.Error.Write(one);
        }

        Assert.Equal((shown, shown), (output.ToString(), error.ToString()));

        console.Out.Write(text.ToCharArray());
        console.Error.Write(text.AsSpan());
        Assert.Equal((shown + shown, shown + shown), (output.ToString(), error.ToString()));
    }

    [Fact]
    public async Task A_bar_escapes_its_lines()
    {
        var error = new StringWriter();
        await using (var bar = BarOn(error))
        {
            bar.Report(new ProgressSample { Stage = "stage" + Clipboard });
            bar.Say("line" + Clipboard);
        }

        Assert.DoesNotContain("\e]52", error.ToString(), StringComparison.Ordinal);
        Assert.Contains(@"line\u001B]52", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_line_above_a_bar_leaves_nothing_of_the_bar_beside_it()
    {
        var error = new StringWriter();
        await using (var bar = BarOn(error))
        {
            bar.Report(new ProgressSample { Stage = "stage" });
            bar.Say("a line");
        }

        // The cursor may be hidden in between, when the bar begins to be drawn.
        Assert.Matches(@"\u001b\[J(\u001b\[\?25l)?a line", error.ToString());
    }

    [Fact]
    public void A_name_of_a_field_forges_no_line_of_inspect()
    {
        var output = new StringWriter();
        var state = new DescribedStruct("s", 1, [new DescribedField("f\nforged", "t\e[2J", 1, null, null, null)], null);
        var document = new InspectDocument
        {
            Machine = "pc",
            Blocks = [new InspectedBlock("ram", 4096, 1, 0, 0)],
            Devices = [new InspectedDevice("d", 0, 1, 1, state)],
        };

        InspectReport.Write(output, document);

        Assert.Contains(@"  f\u000Aforged  t\u001B[2J (1)", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Tables_escape_what_another_process_answers()
    {
        var output = new StringWriter();

        PostcopyTable.Write(output,
        [
            new PostcopyStatus
            {
                Command = "send", State = "paused\n" + Clipboard, Control = "/c\n", Address = "a", File = "f", Pid = 1, Pauses = 0,
                TransferredBytes = 0,
            },
        ]);

        Assert.DoesNotContain('\e', output.ToString());
        Assert.Equal(2, output.ToString().Count(static one => one == '\n'));
    }

    /// <summary>`guard status` shows what a control socket answers, which any process may have opened.</summary>
    [Fact]
    public void The_table_of_a_guard_escapes_every_name_in_it()
    {
        VmStatus vm = new()
        {
            Name = "vm" + Clipboard,
            QemuVersion = "11" + Clipboard,
            Listen = ":1" + Clipboard,
            State = "relaying" + Clipboard,
            Error = "why\n" + Clipboard,
            Channels =
            [
                new ChannelStatus
                {
                    Kind = "main" + Clipboard, Id = 0, Peer = "peer" + Clipboard, State = "open" + Clipboard, InBytes = 1, OutBytes = 1,
                    BytesPerSecond = 1,
                },
            ],
            Undecided = 1,
            Refused = new Dictionary<string, long> { ["silent" + Clipboard] = 1 },
        };
        var output = new StringWriter();

        StatusTable.Write(output, [vm]);
        output.Write(StatusTable.Summarize([vm]));
        output.Write(StatusTable.Summarize([vm, vm with { State = "waiting\e[2J" }]));

        Assert.DoesNotContain('\e', output.ToString());
        Assert.DoesNotContain('\a', output.ToString());
        foreach (var name in (string[])["vm", "11", ":1", "relaying", "why", "main", "peer", "open", "silent"])
        {
            Assert.Contains(name, output.ToString(), StringComparison.Ordinal);
        }
    }

    /// <summary>A collector gets one JSON object per line, with the text as it was.</summary>
    [Fact]
    public void Lines_of_the_log_for_collectors_are_JSON_and_drive_nothing()
    {
        const string Text = "a" + Clipboard + "\n\u202E\u009B";

        var log = LogOf(new OutputSettings { LogJson = true }, Text);

        var line = Assert.Single(log.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.DoesNotContain(line, static one => DataPlane.Wire.UntrustedText.Acts(one));
        using var document = JsonDocument.Parse(line);
        Assert.Equal("QEMU says " + Text, document.RootElement.GetProperty("Message").GetString());
        Assert.Equal(Text, document.RootElement.GetProperty("State").GetProperty("Text").GetString());
    }

    [Fact]
    public void Lines_of_the_log_are_escaped()
    {
        var log = LogOf(new OutputSettings { Verbose = true }, Clipboard);

        Assert.Contains(@"QEMU says \u001B]52;c;aGk=\u0007", log, StringComparison.Ordinal);
    }

    /// <summary>What a line of the log with this text in it comes to on stderr.</summary>
    private static string LogOf(OutputSettings settings, string text)
    {
        var before = Console.Error;
        var error = new StringWriter();
        try
        {
            Console.SetError(TextWriter.Synchronized(error));
            using var logs = Logging.Create(settings);
#pragma warning disable CA1848, CA1873 // one line
            logs.CreateLogger("test").LogWarning("QEMU says {Text}", text);
#pragma warning restore CA1848, CA1873
        }
        finally
        {
            Console.SetError(before);
        }

        return error.ToString();
    }

    private static BarDisplay BarOn(StringWriter error) => new(new ToolConsole
    {
        Out = TextWriter.Null,
        Error = TextWriter.Synchronized(error),
        ErrorIsTerminal = true,
        NoColor = true,
    });
}
