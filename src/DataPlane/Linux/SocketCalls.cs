using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>
/// Socket calls that the BCL does not offer: vectored transfer on native memory, accept without a managed socket, connect without the
/// runtime's epoll thread, pairs of connected sockets. The marshaller holds a reference on the handle during each call, so a descriptor
/// number is never reused while a thread is still inside a call on it.
/// </summary>
internal static unsafe partial class SocketCalls
{
    internal const int FamilyUnspecified = 0;
    internal const int FamilyUnix = 1;
    internal const int FamilyIPv4 = 2;
    internal const int FamilyIPv6 = 10;

    internal const int SocketStream = 1;
    internal const int SocketNonBlocking = 0x800;
    internal const int SocketCloseOnExec = 0x80000;

    internal const int MessageDontWait = 0x40;
    internal const int MessageWaitAll = 0x100;
    internal const int MessageNoSignal = 0x4000;

    internal const int ShutdownBoth = 2;

    internal const int LevelSocket = 1;
    internal const int OptionReuseAddress = 2;
    internal const int OptionError = 4;
    internal const int OptionSendBuffer = 7;
    internal const int OptionReceiveBuffer = 8;
    internal const int OptionKeepAlive = 9;
    internal const int OptionLinger = 13;

    internal const int LevelTcp = 6;
    internal const int TcpNoDelay = 1;
    internal const int TcpKeepIdle = 4;
    internal const int TcpKeepInterval = 5;
    internal const int TcpKeepCount = 6;
    internal const int TcpInformation = 11;
    internal const int TcpQuickAck = 12;
    internal const int TcpUserTimeout = 18;
    internal const int TcpNotSentLowWater = 25;

    internal const int ControlGetFlags = 3;
    internal const int ControlSetFlags = 4;
    internal const int FlagNonBlocking = 0x800;

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    internal static partial nint SendMessage(SafeSocketHandle socket, MsgHdr* message, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    internal static partial nint ReceiveMessage(SafeSocketHandle socket, MsgHdr* message, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    internal static partial nint Receive(SafeSocketHandle socket, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    internal static partial int Socket(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    internal static partial int Bind(SafeSocketHandle socket, byte* address, uint length);

    [LibraryImport("libc", EntryPoint = "connect", SetLastError = true)]
    internal static partial int Connect(SafeSocketHandle socket, byte* address, uint length);

    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    internal static partial int Accept(SafeSocketHandle socket, byte* address, uint* length, int flags);

    [LibraryImport("libc", EntryPoint = "getsockname", SetLastError = true)]
    internal static partial int GetSocketName(SafeSocketHandle socket, byte* address, uint* length);

    [LibraryImport("libc", EntryPoint = "shutdown", SetLastError = true)]
    internal static partial int Shutdown(SafeSocketHandle socket, int how);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    internal static partial int SetSocketOption(SafeSocketHandle socket, int level, int option, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    internal static partial int GetSocketOption(SafeSocketHandle socket, int level, int option, void* value, uint* length);

    // Variadic in C; correct for integer arguments on Linux x64 and Arm64, where both conventions use the same registers.
    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int SocketControl(SafeSocketHandle socket, int command, int argument);

    /// <summary>Reads an integer option; returns 0 when it cannot be read.</summary>
    internal static int GetSocketOption(SafeSocketHandle socket, int level, int option)
    {
        var value = 0;
        uint length = sizeof(int);
        return GetSocketOption(socket, level, option, &value, &length) == 0 ? value : 0;
    }

    /// <summary>Sets an integer option. When it returns <see langword="false"/>, the last P/Invoke error has the reason.</summary>
    internal static bool TrySetSocketOption(SafeSocketHandle socket, int level, int option, int value) =>
        SetSocketOption(socket, level, option, &value, sizeof(int)) == 0;

    /// <summary>Makes the last close of this socket discard what is queued and reset the connection.</summary>
    internal static bool TrySetLingerZero(SafeSocketHandle socket)
    {
        long onAndZeroSeconds = 1; // struct linger { int l_onoff; int l_linger; }, little-endian
        return SetSocketOption(socket, LevelSocket, OptionLinger, &onAndZeroSeconds, sizeof(long)) == 0;
    }

    /// <summary>
    /// Dissolves a TCP association by connecting to AF_UNSPEC: the peer gets a reset at once, and every thread inside a call on this socket
    /// returns. Unix sockets refuse it, and so do kernels 6.4 to 6.6 while a thread waits.
    /// </summary>
    internal static bool TryDisconnect(SafeSocketHandle socket)
    {
        var unspecified = stackalloc byte[16];
        new Span<byte>(unspecified, 16).Clear();
        return Connect(socket, unspecified, 16) == 0;
    }

    internal static bool TrySetBlocking(SafeSocketHandle socket, bool blocking)
    {
        var flags = SocketControl(socket, ControlGetFlags, 0);
        if (flags < 0)
        {
            return false;
        }

        var wanted = blocking ? flags & ~FlagNonBlocking : flags | FlagNonBlocking;
        return wanted == flags || SocketControl(socket, ControlSetFlags, wanted) == 0;
    }

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    private static partial int SocketPair(int family, int type, int protocol, int* descriptors);

    /// <summary>Creates two blocking stream sockets that are connected to each other.</summary>
    /// <exception cref="LinuxException">No descriptors are left, or the system refused the call for another reason.</exception>
    internal static (SafeSocketHandle One, SafeSocketHandle Other) CreateSocketPair()
    {
        var descriptors = stackalloc int[2];
        // SAFETY: the kernel writes two descriptors into the room for two.
        if (SocketPair(FamilyUnix, SocketStream | SocketCloseOnExec, 0, descriptors) != 0)
        {
            LinuxException.ThrowLast("socketpair");
        }

        return (new SafeSocketHandle(descriptors[0], ownsHandle: true), new SafeSocketHandle(descriptors[1], ownsHandle: true));
    }
}

/// <summary><c>struct msghdr</c> of 64-bit Linux, 56 bytes. The padding after the two 32-bit members comes from the layout rules.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MsgHdr
{
    internal byte* Name;
    internal uint NameLength;
    internal IoVec* Vectors;
    internal nuint VectorCount;
    internal byte* Control;
    internal nuint ControlLength;
    internal int Flags;
}
