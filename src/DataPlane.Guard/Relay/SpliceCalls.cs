using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Guard.Relay;

/// <summary>The system calls that move bytes from socket to socket inside the kernel, by way of a pipe.</summary>
internal static unsafe partial class SpliceCalls
{
    public const int CloseOnExec = 0x80000;
    public const int NonBlocking = 0x800;

    public const int SetPipeSize = 1031;

    public const uint MoveNonBlocking = 1 | 2; // SPLICE_F_MOVE | SPLICE_F_NONBLOCK

    public const int ShutdownSend = 1;

    public const nuint UnreadBytes = 0x5411; // SIOCOUTQ

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    public static partial int CreatePipe(int* descriptors, int flags);

    // Variadic in C; correct for integer arguments on Linux x64 and Arm64, where both conventions use the same registers.
    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int FileControl(SafeFileHandle file, int command, int argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(SafeSocketHandle socket, nuint request, int* argument);

    [LibraryImport("libc", EntryPoint = "splice", SetLastError = true)]
    public static partial nint Splice(SafeSocketHandle from, nint noOffset, SafeFileHandle to, nint noOffset2, nuint length, uint flags);

    [LibraryImport("libc", EntryPoint = "splice", SetLastError = true)]
    public static partial nint Splice(SafeFileHandle from, nint noOffset, SafeSocketHandle to, nint noOffset2, nuint length, uint flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(SafeFileHandle from, byte* bytes, nuint length);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    public static partial nint Send(SafeSocketHandle socket, byte* bytes, nuint length, int flags);
}
