namespace DataPlane.Tool.Output;

/// <summary>A progress sample as one line of a terminal. What matters least is left out where there is no room for it.</summary>
/// <param name="Text">The text before the bar.</param>
/// <param name="BarWidth">Columns that are left for the bar.</param>
internal readonly record struct BarLine(string Text, int BarWidth)
{
    private const int LeastBar = 5;
    private const int MostBar = 40;

    // The spinner, and a blank after each of the three columns.
    private const int Around = 4;

    /// <summary>Fits a sample into a terminal of <paramref name="columns"/> columns.</summary>
    public static BarLine Fit(ProgressSample sample, int columns)
    {
        var room = Math.Max(1, columns - Around - LeastBar);
        var text = sample.Stage.Length <= room ? sample.Stage : sample.Stage[..(room - 1)] + "…";
        foreach (var piece in Pieces(sample))
        {
            if (piece is not null && text.Length + 2 + piece.Length <= room)
            {
                text += $", {piece}";
            }
        }

        return new BarLine(text, Math.Clamp(columns - Around - text.Length, LeastBar, MostBar));
    }

    /// <summary>The parts of the line, the most important first.</summary>
    private static IEnumerable<string?> Pieces(ProgressSample sample)
    {
        var isCounted = sample is { DoneBytes: not null, TotalBytes: > 0 };
        yield return isCounted ? $"{LineDisplay.Percent(sample)}%" : null;
        yield return sample.BytesPerSecond is { } rate ? Human.Rate(rate) : null;
        yield return LineDisplay.TimeLeft(sample) is { } left ? $"{left} left" : null;
        yield return sample.Round is { } round ? $"round {round}" : null;
        yield return isCounted ? $"{Human.Bytes(sample.DoneBytes!.Value)} of {Human.Bytes(sample.TotalBytes!.Value)}" : null;
        yield return sample.Detail;
    }
}
