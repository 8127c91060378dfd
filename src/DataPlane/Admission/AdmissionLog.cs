using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>Log events of admission: 3100 to 3199.</summary>
internal static partial class AdmissionLog
{
    [LoggerMessage(3100, LogLevel.Information, "Listening on {Address}")]
    public static partial void Listening(ILogger logger, string address);

    [LoggerMessage(3101, LogLevel.Information,
        "Admitted {Channel} from {Peer} {Decision} after its deciding byte; {Undecided} connections undecided")]
    public static partial void Admitted(ILogger logger, string channel, string peer, TimeSpan decision, int undecided);

    [LoggerMessage(3102, LogLevel.Information, "Refused a connection from {Peer} after {Bytes} bytes: {Reason}{Detail}")]
    public static partial void Refused(ILogger logger, string peer, int bytes, RefusalReason reason, string detail);

    [LoggerMessage(3103, LogLevel.Warning, "Cannot accept on {Address}: {Error}. New connections wait; they are tried again every {Delay}")]
    public static partial void BackingOff(ILogger logger, string address, string error, TimeSpan delay);

    [LoggerMessage(3104, LogLevel.Information, "A connection to {Address} failed before it was accepted: {Error}")]
    public static partial void LostBeforeAccept(ILogger logger, string address, string error);

    [LoggerMessage(3105, LogLevel.Error, "Admission stopped by a failure")]
    public static partial void Failed(ILogger logger, Exception exception);

    [LoggerMessage(3106, LogLevel.Error, "A handler of refusals threw")]
    public static partial void HandlerThrew(ILogger logger, Exception exception);

    [LoggerMessage(3107, LogLevel.Error, "The admission host threw; the connection from {Peer} is held")]
    public static partial void HostThrew(ILogger logger, string peer, Exception exception);

    [LoggerMessage(3108, LogLevel.Information, "A recovery is expected; main and preempt channels are let in again")]
    public static partial void RecoveryExpected(ILogger logger);

    [LoggerMessage(3110, LogLevel.Information, "Refused {Count} connections more, the last of them from {Peer}: {Reason}")]
    public static partial void RefusedMore(ILogger logger, long count, string peer, RefusalReason reason);

    [LoggerMessage(3111, LogLevel.Warning,
        "RLIMIT_NOFILE leaves room for {Undecided} undecided connections where {Wanted} may be; "
            + "the descriptors of the migration are set aside")]
    public static partial void FewDescriptors(ILogger logger, int undecided, int wanted);

    [LoggerMessage(3112, LogLevel.Debug, "All places are free again, for another set of channels")]
    public static partial void StartedAnew(ILogger logger);

    [LoggerMessage(3113, LogLevel.Information, "Gave up what began as a migration from {Peer}: {Detail}")]
    public static partial void FalseStart(ILogger logger, string peer, string detail);

    [LoggerMessage(3114, LogLevel.Warning,
        "For want of room {Count} undecided connections of {Address} were given up, the last of them that of {Last}; {Channel} has come "
        + "from there now, so a channel of this migration may have been among them")]
    public static partial void EvictedBefore(ILogger logger, long count, string address, string last, string channel);

    [LoggerMessage(3115, LogLevel.Warning, "{Channel} from {Peer} was reset: {Count} admitted channels wait for the host to take them")]
    public static partial void TooManyUntaken(ILogger logger, string channel, string peer, int count);

    [LoggerMessage(3109, LogLevel.Debug, "The TLS handshake of {Peer} failed: {Error}")]
    public static partial void UpgradeFailed(ILogger logger, string peer, string error);
}
