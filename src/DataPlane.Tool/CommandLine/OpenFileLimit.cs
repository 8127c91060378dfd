using System.Runtime.InteropServices;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// The process' limit of open descriptors (RLIMIT_NOFILE). The system calls are declared here: where the limit is too low, there may be no
/// descriptor left for the library that declares the others.
/// </summary>
internal static partial class OpenFileLimit
{
    private const int NumberOfFiles = 7;

    /// <summary>Raises the limit as far as is needed and allowed, and returns what is allowed now.</summary>
    public static long Raise(long needed)
    {
        if (GetLimit(NumberOfFiles, out var limit) != 0)
        {
            return long.MaxValue;
        }

        var target = (ulong)needed;
        if (limit.Soft >= target)
        {
            return Clamp(limit.Soft);
        }
        // Only root may raise the hard limit; everybody may go up to it.
        if (limit.Hard < target && SetLimit(NumberOfFiles, new Limit { Soft = target, Hard = target }) == 0)
        {
            return needed;
        }

        var reachable = ulong.Min(limit.Hard, target);
        return SetLimit(NumberOfFiles, limit with { Soft = reachable }) == 0 ? Clamp(reachable) : Clamp(limit.Soft);
    }

    private static long Clamp(ulong value) => (long)ulong.Min(value, long.MaxValue);

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, out Limit limit);

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int resource, in Limit limit);

    // This is struct rlimit of 64-bit Linux; all ones mean no limit.
    [StructLayout(LayoutKind.Sequential)]
    private record struct Limit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
