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
        ("AF_UNSPEC", null, Libc.FamilyUnspecified, 0),
        ("AF_UNIX", null, Libc.FamilyUnix, 1),
        ("AF_INET", null, Libc.FamilyIPv4, 2),
        ("AF_INET6", null, Libc.FamilyIPv6, 10),
        ("SOCK_STREAM", null, Libc.SocketStream, 1),
        ("SOCK_NONBLOCK", null, Libc.SocketNonBlocking, 0x800),
        ("SOCK_CLOEXEC", null, Libc.SocketCloseOnExec, 0x80000),
        ("MSG_DONTWAIT", null, Libc.MessageDontWait, 0x40),
        ("MSG_WAITALL", null, Libc.MessageWaitAll, 0x100),
        ("MSG_NOSIGNAL", null, Libc.MessageNoSignal, 0x4000),
        ("SHUT_RDWR", null, Libc.ShutdownBoth, 2),
        ("SOL_SOCKET", null, Libc.LevelSocket, 1),
        ("SO_REUSEADDR", null, Libc.OptionReuseAddress, 2),
        ("SO_ERROR", null, Libc.OptionError, 4),
        ("SO_SNDBUF", null, Libc.OptionSendBuffer, 7),
        ("SO_RCVBUF", null, Libc.OptionReceiveBuffer, 8),
        ("SO_KEEPALIVE", null, Libc.OptionKeepAlive, 9),
        ("SO_LINGER", null, Libc.OptionLinger, 13),
        ("IPPROTO_TCP", null, Libc.LevelTcp, 6),
        ("TCP_NODELAY", null, Libc.TcpNoDelay, 1),
        ("TCP_KEEPIDLE", null, Libc.TcpKeepIdle, 4),
        ("TCP_KEEPINTVL", null, Libc.TcpKeepInterval, 5),
        ("TCP_KEEPCNT", null, Libc.TcpKeepCount, 6),
        ("TCP_QUICKACK", null, Libc.TcpQuickAck, 12),
        ("TCP_USER_TIMEOUT", null, Libc.TcpUserTimeout, 18),
        ("TCP_NOTSENT_LOWAT", null, Libc.TcpNotSentLowWater, 25),
        ("F_GETFL", null, Libc.ControlGetFlags, 3),
        ("F_SETFL", null, Libc.ControlSetFlags, 4),
        ("O_NONBLOCK", null, Libc.FlagNonBlocking, 0x800),
        ("POLLIN", null, Libc.PollIn, 1),
        ("POLLOUT", null, Libc.PollOut, 4),
        ("EPOLL_CLOEXEC", null, Libc.EpollCloseOnExec, 0x80000),
        ("EPOLL_CTL_ADD", null, Libc.EpollAdd, 1),
        ("EPOLL_CTL_DEL", null, Libc.EpollDelete, 2),
        ("EPOLLIN", null, Libc.EpollIn, 1),
        ("EPOLLOUT", null, Libc.EpollOut, 4),
        ("EPOLLERR", null, Libc.EpollError, 8),
        ("EPOLLHUP", null, Libc.EpollHangUp, 0x10),
        ("EPOLLRDHUP", null, Libc.EpollReadHangUp, 0x2000),
        ("EPOLLET", null, Libc.EpollEdge, 0x80000000),
        ("EFD_CLOEXEC", null, Libc.EventFdCloseOnExec, 0x80000),
        ("EFD_NONBLOCK", null, Libc.EventFdNonBlocking, 0x800),
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
