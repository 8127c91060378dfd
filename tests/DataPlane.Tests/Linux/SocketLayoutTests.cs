using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Linux;

/// <summary>Numbers and layouts of the socket and polling calls: ours against literals everywhere, the headers' where cc is.</summary>
public sealed class SocketLayoutTests
{
    private static readonly string[] s_headers =
        ["sys/socket.h", "sys/uio.h", "sys/epoll.h", "sys/eventfd.h", "sys/stat.h", "netinet/in.h", "netinet/tcp.h",
            "fcntl.h", "poll.h", "limits.h"];

    private static readonly (string C, string? Guard, long Ours, long Literal)[] s_numbers =
    [
        ("AF_UNSPEC", null, SocketCalls.FamilyUnspecified, 0),
        ("AF_UNIX", null, SocketCalls.FamilyUnix, 1),
        ("AF_INET", null, SocketCalls.FamilyIPv4, 2),
        ("AF_INET6", null, SocketCalls.FamilyIPv6, 10),
        ("SOCK_STREAM", null, SocketCalls.SocketStream, 1),
        ("SOCK_NONBLOCK", null, SocketCalls.SocketNonBlocking, 0x800),
        ("SOCK_CLOEXEC", null, SocketCalls.SocketCloseOnExec, 0x80000),
        ("MSG_DONTWAIT", null, SocketCalls.MessageDontWait, 0x40),
        ("MSG_WAITALL", null, SocketCalls.MessageWaitAll, 0x100),
        ("MSG_NOSIGNAL", null, SocketCalls.MessageNoSignal, 0x4000),
        ("SHUT_RDWR", null, SocketCalls.ShutdownBoth, 2),
        ("SOL_SOCKET", null, SocketCalls.LevelSocket, 1),
        ("SO_REUSEADDR", null, SocketCalls.OptionReuseAddress, 2),
        ("SO_ERROR", null, SocketCalls.OptionError, 4),
        ("SO_SNDBUF", null, SocketCalls.OptionSendBuffer, 7),
        ("SO_RCVBUF", null, SocketCalls.OptionReceiveBuffer, 8),
        ("SO_KEEPALIVE", null, SocketCalls.OptionKeepAlive, 9),
        ("SO_LINGER", null, SocketCalls.OptionLinger, 13),
        ("IPPROTO_TCP", null, SocketCalls.LevelTcp, 6),
        ("TCP_NODELAY", null, SocketCalls.TcpNoDelay, 1),
        ("TCP_KEEPIDLE", null, SocketCalls.TcpKeepIdle, 4),
        ("TCP_KEEPINTVL", null, SocketCalls.TcpKeepInterval, 5),
        ("TCP_KEEPCNT", null, SocketCalls.TcpKeepCount, 6),
        ("TCP_QUICKACK", null, SocketCalls.TcpQuickAck, 12),
        ("TCP_USER_TIMEOUT", null, SocketCalls.TcpUserTimeout, 18),
        ("TCP_NOTSENT_LOWAT", null, SocketCalls.TcpNotSentLowWater, 25),
        ("F_GETFL", null, SocketCalls.ControlGetFlags, 3),
        ("F_SETFL", null, SocketCalls.ControlSetFlags, 4),
        ("O_NONBLOCK", null, SocketCalls.FlagNonBlocking, 0x800),
        ("POLLIN", null, PollCalls.PollIn, 1),
        ("POLLOUT", null, PollCalls.PollOut, 4),
        ("EPOLL_CLOEXEC", null, EpollCalls.EpollCloseOnExec, 0x80000),
        ("EPOLL_CTL_ADD", null, EpollCalls.EpollAdd, 1),
        ("EPOLL_CTL_DEL", null, EpollCalls.EpollDelete, 2),
        ("EPOLLIN", null, EpollCalls.EpollIn, 1),
        ("EPOLLOUT", null, EpollCalls.EpollOut, 4),
        ("EPOLLERR", null, EpollCalls.EpollError, 8),
        ("EPOLLHUP", null, EpollCalls.EpollHangUp, 0x10),
        ("EPOLLRDHUP", null, EpollCalls.EpollReadHangUp, 0x2000),
        ("EPOLLET", null, EpollCalls.EpollEdge, 0x80000000),
        ("EFD_CLOEXEC", null, EventFd.CloseOnExec, 0x80000),
        ("EFD_NONBLOCK", null, EventFd.NonBlocking, 0x800),
        ("IOV_MAX", "IOV_MAX", IoVec.MaxPerCall, 1024),
        ("sizeof(struct iovec)", null, Unsafe.SizeOf<IoVec>(), 16),
        ("offsetof(struct iovec, iov_len)", null, Offset<IoVec>(nameof(IoVec.Length)), 8),
        ("sizeof(struct msghdr)", null, Unsafe.SizeOf<MsgHdr>(), 56),
        ("offsetof(struct msghdr, msg_namelen)", null, Offset<MsgHdr>(nameof(MsgHdr.NameLength)), 8),
        ("offsetof(struct msghdr, msg_iov)", null, Offset<MsgHdr>(nameof(MsgHdr.Vectors)), 16),
        ("offsetof(struct msghdr, msg_iovlen)", null, Offset<MsgHdr>(nameof(MsgHdr.VectorCount)), 24),
        ("offsetof(struct msghdr, msg_control)", null, Offset<MsgHdr>(nameof(MsgHdr.Control)), 32),
        ("offsetof(struct msghdr, msg_controllen)", null, Offset<MsgHdr>(nameof(MsgHdr.ControlLength)), 40),
        ("offsetof(struct msghdr, msg_flags)", null, Offset<MsgHdr>(nameof(MsgHdr.Flags)), 48),
        ("sizeof(struct pollfd)", null, Unsafe.SizeOf<PollFd>(), 8),
        ("offsetof(struct pollfd, events)", null, Offset<PollFd>(nameof(PollFd.Events)), 4),
        ("offsetof(struct pollfd, revents)", null, Offset<PollFd>(nameof(PollFd.Returned)), 6),
        ("sizeof(struct epoll_event)", null, EpollSet.EventSize, RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16),
        ("offsetof(struct epoll_event, data)", null, EpollSet.EventSize - 8,
            RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8),
        ("sizeof(struct linger)", null, sizeof(long), 8),
        ("offsetof(struct statx, stx_mode)", "STATX_TYPE", 28, 28),
        ("sizeof(struct statx)", "STATX_TYPE", 256, 256),
        ("STATX_TYPE", "STATX_TYPE", 1, 1),
    ];

    [Fact]
    public void Our_numbers_are_the_documented_ones() =>
        Assert.All(s_numbers, n => Assert.True(n.Ours == n.Literal, $"{n.C}: {n.Ours}, not {n.Literal}"));

    [Fact]
    public async Task Our_numbers_are_those_of_the_c_headers()
    {
        var values = await CProgram.EvaluateAsync(
            s_headers, [.. s_numbers.Select(n => (n.C, n.Guard))], TestContext.Current.CancellationToken);
        Assert.SkipWhen(values is null, "no C compiler (cc) on this machine");
        Assert.All(s_numbers.Where(n => n.Guard is null || values.ContainsKey(n.C)),
            n => Assert.True(n.Ours == values[n.C], $"{n.C}: {n.Ours}, not {values[n.C]}"));
    }

    private static long Offset<T>(string field) => (long)Marshal.OffsetOf<T>(field);
}
