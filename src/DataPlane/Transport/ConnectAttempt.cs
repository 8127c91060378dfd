using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// One non-blocking connect to one end point. It waits with poll, because the runtime's own connect would register the socket with its
/// epoll thread for life.
/// </summary>
internal sealed class ConnectAttempt : IDisposable
{
    // A Unix listener with a full backlog answers EAGAIN, and there is nothing to poll for: the connect is repeated.
    private const int BacklogRetryMilliseconds = 2;

    private readonly EndPoint _remote;
    private readonly SafeSocketHandle _socket;
    private int _errno;
    private bool _taken;

    public ConnectAttempt(EndPoint remote, EndPoint? local, ChannelOptions options)
    {
        _remote = remote;
        _socket = SocketSetup.Create(remote.AddressFamily, blocking: false);
        try
        {
            SocketSetup.Apply(_socket, remote.AddressFamily, options);
            if (local is not null)
            {
                SocketSetup.Bind(_socket, local);
            }

            _errno = Checked(SocketSetup.Connect(_socket, remote));
            if (_errno == Linux.Errno.EINPROGRESS && PollCalls.WaitFor(_socket, PollCalls.PollOut, null, 0))
            {
                Finish();
            }
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
    }

    /// <summary>Whether the attempt is over, with its result in <see cref="Errno"/>.</summary>
    public bool IsDecided => _errno is not (Linux.Errno.EINPROGRESS or Linux.Errno.EAGAIN or Linux.Errno.EINTR);

    /// <summary>The error number of the attempt; 0 once it is connected.</summary>
    public int Errno => _errno;

    /// <summary>
    /// Blocks until the attempt is decided or the token is cancelled; in that case <see cref="IsDecided"/> may still be false.
    /// </summary>
    public void Wait(CancellationToken cancellationToken)
    {
        using EventFd wake = new();
        using var registration = cancellationToken.Register(static state => ((EventFd)state!).Signal(), wake);
        while (!IsDecided && !cancellationToken.IsCancellationRequested)
        {
            if (_errno == Linux.Errno.EAGAIN)
            {
                Thread.Sleep(BacklogRetryMilliseconds);
                _errno = SocketSetup.Connect(_socket, _remote);
            }
            else if (PollCalls.WaitFor(_socket, PollCalls.PollOut, wake, Timeout.Infinite))
            {
                Finish();
            }
        }
    }

    /// <summary>Hands the connected socket over, in blocking mode.</summary>
    public SafeSocketHandle Take()
    {
        if (!SocketCalls.TrySetBlocking(_socket, true))
        {
            LinuxException.ThrowLast("fcntl");
        }

        _taken = true;
        return _socket;
    }

    public void Dispose()
    {
        if (!_taken)
        {
            _socket.Dispose();
        }
    }

    private void Finish()
    {
        // The wake-up may have had another reason: a connect that is still under way returns EALREADY, one that is done EISCONN.
        var pending = SocketCalls.GetSocketOption(_socket, SocketCalls.LevelSocket, SocketCalls.OptionError);
        _errno = pending != 0 ? pending : Checked(SocketSetup.Connect(_socket, _remote));
    }

    private int Checked(int errno) => errno switch
    {
        0 or Linux.Errno.EISCONN => SocketSetup.IsSelfConnected(_socket, _remote) ? Linux.Errno.ECONNREFUSED : 0,
        Linux.Errno.EALREADY => Linux.Errno.EINPROGRESS,
        _ => errno,
    };
}
