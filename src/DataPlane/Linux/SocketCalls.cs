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
    public const int FamilyUnspecified = 0;
    public const int FamilyUnix = 1;
    public const int FamilyIPv4 = 2;
    public const int FamilyIPv6 = 10;

    public const int SocketStream = 1;
    public const int SocketNonBlocking = 0x800;
    public const int SocketCloseOnExec = 0x80000;

    public const int MessageDontWait = 0x40;
    public const int MessageWaitAll = 0x100;
    public const int MessageNoSignal = 0x4000;

    public const int ShutdownBoth = 2;

    public const int LevelSocket = 1;
    public const int OptionReuseAddress = 2;
    public const int OptionError = 4;
    public const int OptionSendBuffer = 7;
    public const int OptionReceiveBuffer = 8;
    public const int OptionKeepAlive = 9;
    public const int OptionLinger = 13;

    public const int LevelTcp = 6;
    public const int TcpNoDelay = 1;
    public const int TcpKeepIdle = 4;
    public const int TcpKeepInterval = 5;
    public const int TcpKeepCount = 6;
    public const int TcpInformation = 11;
    public const int TcpQuickAck = 12;
    public const int TcpUserTimeout = 18;
    public const int TcpNotSentLowWater = 25;

    public const int ControlGetFlags = 3;
    public const int ControlSetFlags = 4;
    public const int FlagNonBlocking = 0x800;

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    public static partial nint SendMessage(SafeSocketHandle socket, MsgHdr* message, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    public static partial nint ReceiveMessage(SafeSocketHandle socket, MsgHdr* message, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    public static partial nint Receive(SafeSocketHandle socket, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    public static partial int Socket(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    public static partial int Bind(SafeSocketHandle socket, byte* address, uint length);

    [LibraryImport("libc", EntryPoint = "connect", SetLastError = true)]
    public static partial int Connect(SafeSocketHandle socket, byte* address, uint length);

    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    public static partial int Accept(SafeSocketHandle socket, byte* address, uint* length, int flags);

    [LibraryImport("libc", EntryPoint = "getsockname", SetLastError = true)]
    public static partial int GetSocketName(SafeSocketHandle socket, byte* address, uint* length);

    [LibraryImport("libc", EntryPoint = "shutdown", SetLastError = true)]
    public static partial int Shutdown(SafeSocketHandle socket, int how);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    public static partial int SetSocketOption(SafeSocketHandle socket, int level, int option, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    public static partial int GetSocketOption(SafeSocketHandle socket, int level, int option, void* value, uint* length);

    // Variadic in C; correct for integer arguments on Linux x64 and Arm64, where both conventions use the same registers.
    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int SocketControl(SafeSocketHandle socket, int command, int argument);

    /// <summary>Reads an integer option; returns 0 when it cannot be read.</summary>
    public static int GetSocketOption(SafeSocketHandle socket, int level, int option)
    {
        var value = 0;
        uint length = sizeof(int);
        return GetSocketOption(socket, level, option, &value, &length) == 0 ? value : 0;
    }

    /// <summary>Sets an integer option. When it returns <see langword="false"/>, the last P/Invoke error has the reason.</summary>
    public static bool TrySetSocketOption(SafeSocketHandle socket, int level, int option, int value) =>
        SetSocketOption(socket, level, option, &value, sizeof(int)) == 0;

    /// <summary>Makes the last close of this socket discard what is queued and reset the connection.</summary>
    public static bool TrySetLingerZero(SafeSocketHandle socket)
    {
        long onAndZeroSeconds = 1; // struct linger { int l_onoff; int l_linger; }, little-endian
        return SetSocketOption(socket, LevelSocket, OptionLinger, &onAndZeroSeconds, sizeof(long)) == 0;
    }

    /// <summary>
    /// Dissolves a TCP association by connecting to AF_UNSPEC: the peer gets a reset at once, and every thread inside a call on this socket
    /// returns. Unix sockets refuse it, and so do kernels 6.4 to 6.6 while a thread waits.
    /// </summary>
    public static bool TryDisconnect(SafeSocketHandle socket)
    {
        var unspecified = stackalloc byte[16];
        new Span<byte>(unspecified, 16).Clear();
        return Connect(socket, unspecified, 16) == 0;
    }

    public static bool TrySetBlocking(SafeSocketHandle socket, bool blocking)
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
    public static (SafeSocketHandle One, SafeSocketHandle Other) CreateSocketPair()
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
    public byte* Name;
    public uint NameLength;
    public IoVec* Vectors;
    public nuint VectorCount;
    public byte* Control;
    public nuint ControlLength;
    public int Flags;
}
