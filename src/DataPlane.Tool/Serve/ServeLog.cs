using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Serve;

/// <summary>Log messages of serve: ids 7000 to 7099.</summary>
internal static partial class ServeLog
{
    [LoggerMessage(7000, LogLevel.Information, "session of {Peer} opened")]
    public static partial void SessionOpened(ILogger logger, string peer);

    [LoggerMessage(7001, LogLevel.Information, "session of {Peer} closed after {Legs} legs")]
    public static partial void SessionClosed(ILogger logger, string peer, int legs);

    [LoggerMessage(7002, LogLevel.Warning, "session of {Peer} ended early: {Reason}")]
    public static partial void SessionBroken(ILogger logger, string peer, string reason);

    [LoggerMessage(7003, LogLevel.Information, "{Peer} refused: busy")]
    public static partial void SessionRefused(ILogger logger, string peer);
}
