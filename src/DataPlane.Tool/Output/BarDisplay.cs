using DataPlane.Tool.CommandLine;
using Spectre.Console;

namespace DataPlane.Tool.Output;

/// <summary>
/// A progress bar on a terminal. Kept apart so that the library behind it is loaded only when a bar is drawn.
/// The bar redraws itself on its own schedule; reports only leave the newest sample.
/// </summary>
internal sealed class BarDisplay : IProgressDisplay
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _drawing;
    private volatile ProgressSample? _sample;

    public BarDisplay(ToolConsole console)
    {
        IAnsiConsole terminal = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(console.Error),
            Ansi = AnsiSupport.Yes,
            ColorSystem = console.NoColor ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = InteractionSupport.Yes,
        });
        _drawing = Task.Run(() => DrawAsync(terminal));
    }

    public void Report(ProgressSample sample) => _sample = sample;

    private Task DrawAsync(IAnsiConsole terminal) =>
        terminal.Progress()
            .AutoClear(true)
            .Columns(new SpinnerColumn(), new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn())
            .StartAsync(async context =>
            {
                ProgressTask bar = context.AddTask("starting");
                using var ticks = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
                while (!_ended.Task.IsCompleted)
                {
                    Show(bar, _sample);
                    await Task.WhenAny(ticks.WaitForNextTickAsync().AsTask(), _ended.Task).ConfigureAwait(false);
                }
            });

    private static void Show(ProgressTask bar, ProgressSample? sample)
    {
        if (sample is null)
            return;
        bar.Description = Markup.Escape(LineDisplay.Describe(sample));
        bar.IsIndeterminate = sample.TotalBytes is null or 0;
        bar.MaxValue = sample.TotalBytes is { } total and > 0 ? total : 1;
        bar.Value = sample.DoneBytes ?? 0;
    }

    public async ValueTask DisposeAsync()
    {
        _ended.TrySetResult();
        await _drawing.ConfigureAwait(false);
    }
}
