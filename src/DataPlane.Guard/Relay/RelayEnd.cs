using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Relay;

/// <summary>One of a relay's two sockets, with what the poll set has told about it. Used by the relay's thread only.</summary>
internal sealed class RelayEnd
{
    private bool _isGone;

    internal RelayEnd(Channel channel)
    {
        Channel = channel;
        if (!Libc.TrySetBlocking(channel.Handle, false))
        {
            LinuxException.ThrowLast("fcntl", channel.Name);
        }
    }

    internal Channel Channel { get; }

    /// <summary>Reading may bring something: until it says EAGAIN.</summary>
    internal bool IsReadable { get; set; } = true;

    /// <summary>Writing may take something: until it says EAGAIN.</summary>
    internal bool IsWritable { get; set; } = true;

    /// <summary>The other side has ended its direction, or the connection. Bytes may still wait to be read.</summary>
    internal bool HasHungUp { get; private set; }

    /// <summary>
    /// Whether the other side went without reading everything: a Unix socket keeps that as its error. Asked once the connection is gone.
    /// </summary>
    internal bool HasLostBytes => _isGone && Libc.GetSocketOption(Channel.Handle, Libc.LevelSocket, Libc.OptionError) != 0;

    /// <summary>
    /// The poll set has told of an error. It is kept here, because a socket tells its own only once: whoever asks next reads a plain end.
    /// </summary>
    internal bool IsBroken { get; private set; }

    /// <summary>Whether bytes wait to be read, on a connection that is not broken.</summary>
    internal bool HasUnread => !IsBroken && SocketBytes.HasAny(Channel.Handle);

    internal void Take(uint events)
    {
        if ((events & (SpliceCalls.EpollIn | SpliceCalls.EpollReadHangUp | SpliceCalls.EpollHangUp | SpliceCalls.EpollError)) != 0)
        {
            IsReadable = true;
        }

        if ((events & (SpliceCalls.EpollOut | SpliceCalls.EpollHangUp | SpliceCalls.EpollError)) != 0)
        {
            IsWritable = true;
        }

        if ((events & (SpliceCalls.EpollReadHangUp | SpliceCalls.EpollHangUp | SpliceCalls.EpollError)) != 0)
        {
            HasHungUp = true;
        }

        _isGone |= (events & SpliceCalls.EpollHangUp) != 0;
        IsBroken |= (events & SpliceCalls.EpollError) != 0;
    }

    /// <summary>FIN, after everything that was sent.</summary>
    internal void Finish() => _ = Libc.Shutdown(Channel.Handle, SpliceCalls.ShutdownSend);
}
