using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// System calls of userfaultfd, beside the ioctls of <see cref="Userfaultfd"/>.
/// <see cref="Marshal.GetLastPInvokeError"/> has the reason of a failure, in the statement after the call.
/// </summary>
internal static unsafe partial class UserfaultCalls
{
    /// <summary>Number of the system call userfaultfd, which libc does not wrap.</summary>
    public static nint UserfaultfdCall => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 282 : 323;

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint ReadFaults(SafeFileHandle userfaultfd, UserfaultMessage* messages, nuint length);

    // syscall is variadic: see FileCalls.Control.
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint SystemCall(nint number, nint argument);
}
