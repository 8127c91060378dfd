using Microsoft.Extensions.Logging;

namespace DataPlane.Guard;

/// <summary>Log events of the guard: 3200 to 3299.</summary>
internal static partial class GuardLog
{
    [LoggerMessage(3200, LogLevel.Information,
        "{Name}: QEMU {Version} at {Address} expects {Channels} multifd channels, preempt {Preempt}, TLS {Tls}")]
    public static partial void Prepared(
        ILogger logger, string name, string version, string address, int channels, bool preempt, bool tls);

    [LoggerMessage(3201, LogLevel.Information, "{Name}: {Channel} of {Peer} is there; it waits for the others of its migration")]
    public static partial void Held(ILogger logger, string name, string channel, string peer);

    [LoggerMessage(3203, LogLevel.Information, "{Name}: all channels are handed to QEMU")]
    public static partial void HandedOver(ILogger logger, string name);

    [LoggerMessage(3204, LogLevel.Information, "{Name}: the preempt channel is that of {Peer}")]
    public static partial void PreemptFound(ILogger logger, string name, string peer);

    [LoggerMessage(3205, LogLevel.Information, "{Name}: {Old} -> {New}")]
    public static partial void StateChanged(ILogger logger, string name, GuardState old, GuardState @new);

    [LoggerMessage(3206, LogLevel.Information, "{Name}: {Channel} of {Peer} ended: {Ending} {Error}")]
    public static partial void RelayEnded(
        ILogger logger, string name, string channel, string? peer, Relay.RelayEnding ending, string error);

    [LoggerMessage(3207, LogLevel.Warning, "{Name}: the return path is not understood from here on ({Error}); it is relayed all the same")]
    public static partial void ReturnPathLost(ILogger logger, string name, string error);

    [LoggerMessage(3223, LogLevel.Information,
        "{Name}: QEMU has sent a return path message of kind {Kind}, which is newer than this guard; it is relayed, as all of its kind")]
    public static partial void UnknownMessage(ILogger logger, string name, ushort kind);

    [LoggerMessage(3224, LogLevel.Warning,
        "{Name}: the link is lost, and QEMU has not read its preempt channel for {Seconds} s; it is told all the same, and may die of it")]
    public static partial void PreemptUnread(ILogger logger, string name, double seconds);

    [LoggerMessage(3208, LogLevel.Information, "{Name}: QEMU no longer listens at {Address}; it is told to again")]
    public static partial void ListensAgain(ILogger logger, string name, string address);

    [LoggerMessage(3209, LogLevel.Debug, "{Name}: QEMU's migration is {Status}")]
    public static partial void QemuStatus(ILogger logger, string name, string status);

    [LoggerMessage(3210, LogLevel.Warning, "{Name}: a {Kind} channel of {Peer} came where none can be used; it is closed")]
    public static partial void Surplus(ILogger logger, string name, ChannelKind kind, string peer);

    [LoggerMessage(3211, LogLevel.Error, "{Name}: the migration failed: {Reason}")]
    public static partial void Failed(ILogger logger, string name, string reason);

    [LoggerMessage(3212, LogLevel.Warning,
        "{Name}: QEMU does not say which RAM blocks it has: the block of a recovery command cannot be checked")]
    public static partial void BlocksUnknown(ILogger logger, string name);

    [LoggerMessage(3214, LogLevel.Warning, "{Name}: {Warning}")]
    public static partial void KeyExposed(ILogger logger, string name, string warning);

    [LoggerMessage(3220, LogLevel.Information, "{Name}: the TLS session of {Peer} is through its handshake; QEMU has {Sessions}")]
    public static partial void SessionLetIn(ILogger logger, string name, string? peer, int sessions);

    [LoggerMessage(3213, LogLevel.Error, "{Name}: the {Kind} channel of {Peer} cannot be served and is closed: {Error}")]
    public static partial void NotTaken(ILogger logger, string name, ChannelKind kind, string peer, string error);

    [LoggerMessage(3222, LogLevel.Information,
        "{Name}: {Count} TLS sessions more did not come through their handshakes, the last of {Peer}")]
    public static partial void SessionsKeptOut(ILogger logger, string name, long count, string peer);

    [LoggerMessage(3221, LogLevel.Information, "{Name}: the TLS session of {Peer} did not come through its handshake: {Result}")]
    public static partial void SessionKeptOut(ILogger logger, string name, string? peer, Tls.IntroductionResult result);
}
