namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>When a stranger of a kind must come to be one. Whoever speaks first *is* the channel, as far as bytes can tell.</summary>
internal enum StrangerTiming
{
    /// <summary>It proves nothing at any time.</summary>
    Any,

    /// <summary>It says what an honest channel says, and is false only because that channel is there already.</summary>
    OnceComplete,

    /// <summary>As <see cref="Any"/>, but it is the recovered main channel by all that its bytes say while a postcopy is paused.</summary>
    NotWhilePaused,
}

/// <summary>What a stranger does after its last byte.</summary>
internal enum StrangerEnding
{
    /// <summary>Nothing, for as long as it is let.</summary>
    Stays,

    /// <summary>Closes (FIN).</summary>
    Closes,

    /// <summary>Resets.</summary>
    Resets,
}

/// <summary>One kind of peer that is not the source: what it says, how fast, and how it leaves.</summary>
/// <param name="Name">For people and for test names.</param>
/// <param name="Bytes">All it ever says.</param>
internal sealed record StrangerKind(string Name, Func<StrangerTarget, byte[]> Bytes)
{
    public StrangerTiming Timing { get; init; }

    public StrangerEnding Ending { get; init; }

    /// <summary>The pause before each byte; zero sends all of them at once.</summary>
    public TimeSpan Pace { get; init; }

    /// <summary>Its bytes leave no doubt, whatever else may come: no listener keeps it once the migration has all its channels.</summary>
    public bool IsProvenFalse { get; init; }

    /// <summary>How many of them come at once.</summary>
    public int Count { get; init; } = 1;

    public override string ToString() => Name;
}
