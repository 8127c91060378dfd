using System.Text;
using DataPlane.Tool.Output;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class UnblockedWriterTests
{
    [Fact]
    public void Lines_come_out_in_their_order()
    {
        using var target = new StringWriter();
        using (var writer = new UnblockedWriter(target))
        {
            for (var i = 0; i < 100; i++)
            {
                writer.WriteLine($"line {i}");
            }
        }

        Assert.Equal(
            Enumerable.Range(0, 100).Select(i => $"line {i}"), target.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void Nobody_waits_for_a_reader_that_has_stopped_and_what_was_left_out_is_counted()
    {
        using var target = new StuckWriter();
        using var writer = new UnblockedWriter(target);
        const int Lines = 10_000;

        for (var i = 0; i < Lines; i++)
        {
            writer.WriteLine("line"); // would not return
        }

        target.Go();
        writer.Dispose();
        var lines = target.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var leftOut = int.Parse(
            Assert.Single(lines, line => line[0] == '(')[1..].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(Lines, lines.Count(line => line == "line") + leftOut);
    }

    private sealed class StuckWriter : StringWriter
    {
        private readonly ManualResetEventSlim _go = new();
        private volatile string _text = "";

        public string Text => _text;

        public void Go() => _go.Set();

        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(string? value)
        {
            _go.Wait(TestContext.Current.CancellationToken);
            _text += value;
        }

        public override void WriteLine(string? value) => Write(value + "\n");

        protected override void Dispose(bool disposing)
        {
            _go.Dispose();
            base.Dispose(disposing);
        }
    }
}
