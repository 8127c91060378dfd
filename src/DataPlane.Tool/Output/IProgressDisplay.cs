namespace DataPlane.Tool.Output;

/// <summary>The progress of a command at one moment. Values that make no sense yet are null.</summary>
internal sealed record ProgressSample
{
    /// <summary>What the command is doing, for a person: <c>run 2 of 7, migration</c>.</summary>
    public required string Stage { get; init; }

    /// <summary>Whether nothing moves. The stage then names what is awaited, and a log needs it only once.</summary>
    public bool IsWaiting { get; init; }

    public long? DoneBytes { get; init; }

    public long? TotalBytes { get; init; }

    public double? BytesPerSecond { get; init; }

    public int? Round { get; init; }

    /// <summary>Further details about this moment, for a person.</summary>
    public string? Detail { get; init; }
}

/// <summary>Shows progress. It may be called from any thread and as often as wanted: what is too frequent is dropped here.</summary>
internal interface IProgressDisplay : IAsyncDisposable
{
    void Report(ProgressSample sample);

    /// <summary>Writes a line to stderr without tearing what is being displayed there.</summary>
    void Say(string line);
}
