using System.Runtime.InteropServices;

namespace DataPlane.Linux;

internal static unsafe partial class Libc
{
    internal const int SetDumpable = 4; // PR_SET_DUMPABLE

    /// <summary>
    /// The operations that are used here return small numbers. -1 means failure, and the last P/Invoke error has the reason.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    internal static partial int ControlProcess(int operation, nuint value, nuint third, nuint fourth, nuint fifth);
}
