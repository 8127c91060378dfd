using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Session;

/// <summary>The latest link of the migration, which may be lost already. The session's loop replaces it, any thread reads.</summary>
internal sealed class CurrentLink
{
    private volatile GuardedLink? _link;

    /// <summary>The link; null before the first one, and where a recovery must bring the next one.</summary>
    public GuardedLink? Link
    {
        get => _link;
        set => _link = value;
    }

    /// <summary>Whether this is the main channel of the link.</summary>
    public bool IsMain(ChannelRelay relay) => _link is { } link && link.Main == relay;
}
