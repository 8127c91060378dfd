using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>What a listener does after accept failed.</summary>
internal enum AcceptOutcome
{
    /// <summary>A connection is there.</summary>
    Accepted,

    /// <summary>Nobody is waiting.</summary>
    Empty,

    /// <summary>That one connection failed before it was taken: go on with the next.</summary>
    Retry,

    /// <summary>Descriptors or memory are short: stop for a moment, the connections wait in the kernel.</summary>
    BackOff,

    /// <summary>The listener itself is broken.</summary>
    Stop,
}

/// <summary>The one place where socket error numbers are sorted.</summary>
internal static class SocketErrors
{
    internal static ChannelEnd Classify(int errno) => errno switch
    {
        Errno.ECONNRESET or Errno.EPIPE => ChannelEnd.Reset,
        Errno.ETIMEDOUT => ChannelEnd.TimedOut,
        Errno.ECONNABORTED => ChannelEnd.Aborted,
        _ => ChannelEnd.Failed,
    };

    /// <summary>accept(2) of Linux also hands on errors that are already pending on the new connection; those concern only it.</summary>
    internal static AcceptOutcome ClassifyAccept(int errno) => errno switch
    {
        Errno.EAGAIN => AcceptOutcome.Empty,
        Errno.EINTR or Errno.ECONNABORTED or Errno.EPERM or Errno.EPROTO or Errno.ENOPROTOOPT or Errno.EOPNOTSUPP or Errno.ETIMEDOUT
            or Errno.ENETDOWN or Errno.ENETUNREACH or Errno.EHOSTDOWN or Errno.EHOSTUNREACH => AcceptOutcome.Retry,
        Errno.EMFILE or Errno.ENFILE or Errno.ENOBUFS or Errno.ENOMEM => AcceptOutcome.BackOff,
        _ => AcceptOutcome.Stop,
    };
}
