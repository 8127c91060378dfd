namespace DataPlane.Tool.Output;

/// <summary>What a command knows of its progress at one moment. Values that make no sense yet stay null.</summary>
internal sealed record ProgressSample
{
    /// <summary>What is being done, for a person: <c>run 2 of 7, migration</c>.</summary>
    public required string Stage { get; init; }

    /// <summary>Nothing moves: the stage says what is awaited, and saying it once is enough for a log.</summary>
    public bool IsWaiting { get; init; }

    public long? DoneBytes { get; init; }

    public long? TotalBytes { get; init; }

    public double? BytesPerSecond { get; init; }

    public int? Round { get; init; }

    /// <summary>More about this moment, for a person.</summary>
    public string? Detail { get; init; }
}

/// <summary>Shows progress; may be called from any thread, as often as wanted: what is too often is dropped here.</summary>
internal interface IProgressDisplay : IAsyncDisposable
{
    void Report(ProgressSample sample);

    /// <summary>Writes a line to stderr without tearing what is being displayed there.</summary>
    void Say(string line);
}
