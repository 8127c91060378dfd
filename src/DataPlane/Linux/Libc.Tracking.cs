using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

internal static unsafe partial class Libc
{
    /// <summary>Number of the system call userfaultfd, which libc does not wrap.</summary>
    internal static nint UserfaultfdCall => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 282 : 323;

    // ioctl and syscall are variadic; pointers and integers travel in the same registers either way on Linux x64 and Arm64.
    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    internal static partial int Control(SafeFileHandle file, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    internal static partial int Control(SafeFileHandle file, nuint request, nint argument);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    internal static partial nint ReadFaults(SafeFileHandle userfaultfd, UserfaultMessage* messages, nuint length);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint SystemCall(nint number, nint argument);
}
