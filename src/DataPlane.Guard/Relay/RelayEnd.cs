using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Relay;

/// <summary>One of the two sockets of a relay, with what the poll set has reported about it. One thread uses it.</summary>
internal sealed class RelayEnd
{
    private bool _isGone;

    public RelayEnd(Channel channel)
    {
        Channel = channel;
        if (!SocketCalls.TrySetBlocking(channel.Handle, false))
        {
            LinuxException.ThrowLast("fcntl", channel.Name);
        }
    }

    public Channel Channel { get; }

    /// <summary>Whether reading may bring something: true until a call fails with EAGAIN.</summary>
    public bool IsReadable { get; set; } = true;

    /// <summary>Whether writing may take something: true until a call fails with EAGAIN.</summary>
    public bool IsWritable { get; set; } = true;

    /// <summary>Whether the other side has ended its direction, or the connection. Bytes may still wait to be read.</summary>
    public bool HasHungUp { get; private set; }

    /// <summary>
    /// Whether the other side went without reading everything, which a Unix socket keeps as its error. False while the connection is open.
    /// </summary>
    public bool HasLostBytes =>
        _isGone && SocketCalls.GetSocketOption(Channel.Handle, SocketCalls.LevelSocket, SocketCalls.OptionError) != 0;

    /// <summary>
    /// Whether the poll set has reported an error. It is kept here, because a socket reports its error only once: whoever asks next reads a
    /// plain end.
    /// </summary>
    public bool IsBroken { get; private set; }

    /// <summary>Whether bytes wait to be read, on a connection that is not broken.</summary>
    public bool HasUnread => !IsBroken && SocketBytes.HasAny(Channel.Handle);

    public void Take(uint events)
    {
        if ((events & (EpollCalls.EpollIn | EpollCalls.EpollReadHangUp | EpollCalls.EpollHangUp | EpollCalls.EpollError)) != 0)
        {
            IsReadable = true;
        }

        if ((events & (EpollCalls.EpollOut | EpollCalls.EpollHangUp | EpollCalls.EpollError)) != 0)
        {
            IsWritable = true;
        }

        if ((events & (EpollCalls.EpollReadHangUp | EpollCalls.EpollHangUp | EpollCalls.EpollError)) != 0)
        {
            HasHungUp = true;
        }

        _isGone |= (events & EpollCalls.EpollHangUp) != 0;
        IsBroken |= (events & EpollCalls.EpollError) != 0;
    }

    /// <summary>Sends FIN after everything that was sent.</summary>
    public void Finish() => _ = SocketCalls.Shutdown(Channel.Handle, SpliceCalls.ShutdownSend);
}
