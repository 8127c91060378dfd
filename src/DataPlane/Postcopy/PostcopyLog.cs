using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>The log events of postcopy, 4100 to 4199.</summary>
internal static partial class PostcopyLog
{
    [LoggerMessage(4100, LogLevel.Information, "The guest's memory follows on demand: {Missing} pages are missing")]
    public static partial void Listening(ILogger logger, long missing);

    [LoggerMessage(4101, LogLevel.Warning,
        "Page {Offset:x} of block {Block} came a second time on channel {Channel} after a recovery; the first one stays")]
    public static partial void PageCameTwice(ILogger logger, string block, long offset, string channel);

    [LoggerMessage(4102, LogLevel.Warning, "The link to the source is lost, {Missing} pages are missing: waiting for a recovery. {Reason}")]
    public static partial void Paused(ILogger logger, long missing, string reason);

    [LoggerMessage(4103, LogLevel.Information, "The migration goes on over a new link: {Missing} pages are missing")]
    public static partial void Resumed(ILogger logger, long missing);

    [LoggerMessage(4104, LogLevel.Warning, "The source has ended and never sent {Missing} pages that it had announced: they read as zero")]
    public static partial void LeftOut(ILogger logger, long missing);

    [LoggerMessage(4105, LogLevel.Information, "The whole memory has arrived; {Asked} pages were asked for")]
    public static partial void Complete(ILogger logger, long asked);

    [LoggerMessage(4106, LogLevel.Error, "A fault of the guest cannot be handled")]
    public static partial void FaultFailed(ILogger logger, Exception exception);

    [LoggerMessage(4108, LogLevel.Error, "The host failed when it was told of a pause or its end; the migration is not changed")]
    public static partial void ListenerFailed(ILogger logger, Exception exception);

    [LoggerMessage(4109, LogLevel.Error, "Pages can no longer be requested ahead; the rest comes in the order of the source")]
    public static partial void PullFailed(ILogger logger, Exception exception);

    [LoggerMessage(4107, LogLevel.Error,
        "The source has ended, but {Missing} pages that were asked for are lost with the preempt channel: "
        + "the guest cannot go on where it needs them")]
    public static partial void PagesLost(ILogger logger, long missing);
}
