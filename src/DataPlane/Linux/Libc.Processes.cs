using System.Runtime.InteropServices;

namespace DataPlane.Linux;

internal static unsafe partial class Libc
{
    internal const int SetDumpable = 4; // PR_SET_DUMPABLE

    /// <summary>Answers of the calls that are used here are small numbers; -1 leaves the reason in the last P/Invoke error.</summary>
    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    internal static partial int ControlProcess(int operation, nuint value, nuint third, nuint fourth, nuint fifth);
}
