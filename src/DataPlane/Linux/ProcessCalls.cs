using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>
/// System calls about this process: its limits, its use of the processor, its user.
/// <see cref="Marshal.GetLastPInvokeError"/> has the reason of a failure, in the statement after the call.
/// </summary>
internal static unsafe partial class ProcessCalls
{
    public const int SetDumpable = 4; // PR_SET_DUMPABLE

    public const int UsageOfProcess = 0;
    public const int UsageOfThread = 1;

    /// <summary>
    /// The operations that are used here return small numbers. -1 means failure, and the last P/Invoke error has the reason.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    public static partial int ControlProcess(int operation, nuint value, nuint third, nuint fourth, nuint fifth);

    /// <param name="resource">RLIMIT_*.</param>
    /// <param name="limit">Gets the soft limit and the hard one, 64 bits each.</param>
    [LibraryImport("libc", EntryPoint = "getrlimit", SetLastError = true)]
    public static partial int GetResourceLimit(int resource, ulong* limit);

    [LibraryImport("libc", EntryPoint = "getrusage", SetLastError = true)]
    public static partial int GetResourceUsage(int who, ResourceUsage* usage);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint GetEffectiveUser();
}
