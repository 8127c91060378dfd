namespace DataPlane;

/// <summary>What a connection of a migration is for (docs/admission.md).</summary>
public enum ChannelKind
{
    /// <summary>The main channel: the stream of sections and commands, and the return path.</summary>
    Main,

    /// <summary>One of the multifd channels, which carry page packets.</summary>
    Multifd,

    /// <summary>The preempt channel of postcopy, which carries the pages that were asked for.</summary>
    Preempt,

    /// <summary>A TLS session that is passed on unopened: only its two ends know which channel it is.</summary>
    Tls,
}
