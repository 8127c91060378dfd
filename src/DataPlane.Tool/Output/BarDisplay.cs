using DataPlane.Tool.CommandLine;
using DataPlane.Wire;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace DataPlane.Tool.Output;

/// <summary>
/// A progress bar on a terminal. The class is separate, so that the library that draws is loaded only when a bar is drawn. The bar appears
/// with the first report and redraws itself on its own schedule; a report only leaves the newest sample.
/// </summary>
internal sealed class BarDisplay(ToolConsole console) : IProgressDisplay
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ProgressSample? _sample;
    private IAnsiConsole? _terminal;
    private Task _drawing = Task.CompletedTask;

    public void Report(ProgressSample sample)
    {
        _sample = sample;
        lock (_lock)
        {
            if (_terminal is not null || _ended.Task.IsCompleted)
            {
                return;
            }

            var terminal = _terminal = CreateTerminal(console);
            _drawing = Task.Run(() => DrawAsync(terminal));
        }
    }

    public void Say(string line)
    {
        lock (_lock)
        {
            // A line that is written through the bar's own console goes above the bar.
            if (_terminal is null || _ended.Task.IsCompleted)
            {
                console.Error.WriteLine(line);
            }
            else
            {
                _terminal.Write(new LineAboveBar(UntrustedText.Escape(line)));
            }
        }
    }

    /// <summary>
    /// A line that takes the place of the bar, which is drawn again below it. The rest of the old bar is erased first: a wrapped line ends
    /// with a short piece, beside which the old bar would still be seen.
    /// </summary>
    private sealed class LineAboveBar(string text) : Renderable
    {
        private const string EraseBelow = "\u001b[J";

        protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth) =>
            [Segment.Control(EraseBelow), .. ((IRenderable)new Text(text)).Render(options, maxWidth), Segment.LineBreak];
    }

    private static IAnsiConsole CreateTerminal(ToolConsole console) => AnsiConsole.Create(new AnsiConsoleSettings
    {
        Out = new AnsiConsoleOutput(console.RawError),
        Ansi = AnsiSupport.Yes,
        ColorSystem = console.NoColor ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
        Interactive = InteractionSupport.Yes,
    });

    private Task DrawAsync(IAnsiConsole terminal)
    {
        var column = new ProgressBarColumn();
        return terminal.Progress()
            .AutoClear(true)
            .Columns(new SpinnerColumn(), new TaskDescriptionColumn { Alignment = Justify.Left }, column)
            .StartAsync(async context =>
            {
                var bar = context.AddTask(Describe(BarLine.Fit(_sample!, terminal.Profile.Width)));
                using var ticks = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
                while (!_ended.Task.IsCompleted)
                {
                    // The width of the terminal may have changed.
                    var line = BarLine.Fit(_sample!, terminal.Profile.Width);
                    column.Width = line.BarWidth;
                    Show(bar, line, _sample!);
                    await Task.WhenAny(ticks.WaitForNextTickAsync().AsTask(), _ended.Task).ConfigureAwait(false);
                }
            });
    }

    private static string Describe(BarLine line) => Markup.Escape(UntrustedText.Escape(line.Text));

    private static void Show(ProgressTask bar, BarLine line, ProgressSample sample)
    {
        bar.Description = Describe(line);
        bar.IsIndeterminate = sample.DoneBytes is null || sample.TotalBytes is null or 0;
        bar.MaxValue = sample.TotalBytes is { } total and > 0 ? total : 1;
        bar.Value = sample.DoneBytes ?? 0;
    }

    /// <summary>Removes the bar; what is written afterwards stands in its place.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _ended.TrySetResult();
        }
        // A bar that could not be drawn is no reason for the command to fail.
        await _drawing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}
