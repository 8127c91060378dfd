using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>The result of an accept, which decides what a listener does next.</summary>
internal enum AcceptOutcome
{
    /// <summary>A connection was accepted.</summary>
    Accepted,

    /// <summary>No connection waits.</summary>
    Empty,

    /// <summary>One connection failed before it was accepted: go on with the next.</summary>
    Retry,

    /// <summary>Descriptors or memory are short: stop for a moment, while the connections wait in the kernel.</summary>
    BackOff,

    /// <summary>The listener itself is broken.</summary>
    Stop,
}

/// <summary>Classifies the error numbers of sockets.</summary>
internal static class SocketErrors
{
    public static ChannelEnd Classify(int errno) => errno switch
    {
        Errno.ECONNRESET or Errno.EPIPE => ChannelEnd.Reset,
        Errno.ETIMEDOUT => ChannelEnd.TimedOut,
        Errno.ECONNABORTED => ChannelEnd.Aborted,
        _ => ChannelEnd.Failed,
    };

    /// <summary>
    /// Classifies an error of accept(2). On Linux that call also returns errors that are pending on the new connection, which concern only
    /// that one.
    /// </summary>
    public static AcceptOutcome ClassifyAccept(int errno) => errno switch
    {
        Errno.EAGAIN => AcceptOutcome.Empty,
        Errno.EINTR or Errno.ECONNABORTED or Errno.EPERM or Errno.EPROTO or Errno.ENOPROTOOPT or Errno.EOPNOTSUPP or Errno.ETIMEDOUT
            or Errno.ENETDOWN or Errno.ENETUNREACH or Errno.EHOSTDOWN or Errno.EHOSTUNREACH => AcceptOutcome.Retry,
        Errno.EMFILE or Errno.ENFILE or Errno.ENOBUFS or Errno.ENOMEM => AcceptOutcome.BackOff,
        _ => AcceptOutcome.Stop,
    };
}
