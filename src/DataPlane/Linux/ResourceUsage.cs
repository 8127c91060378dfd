using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>struct rusage: 144 bytes, two struct timeval first.</summary>
[StructLayout(LayoutKind.Sequential, Size = 144)]
internal struct ResourceUsage
{
    public long UserSeconds;
    public long UserMicroseconds;
    public long SystemSeconds;
    public long SystemMicroseconds;

    /// <summary>
    /// The CPU time, in user mode and in the kernel, that the process, its ended children or the calling thread has used so far.
    /// </summary>
    /// <param name="who"><see cref="ProcessCalls.UsageOfProcess"/> or <see cref="ProcessCalls.UsageOfThread"/>.</param>
    public static unsafe TimeSpan CpuTime(int who)
    {
        ResourceUsage usage;
        // SAFETY: the kernel writes exactly the 144 bytes of the local.
        if (ProcessCalls.GetResourceUsage(who, &usage) != 0)
        {
            LinuxException.ThrowLast("getrusage");
        }

        return TimeSpan.FromSeconds(usage.UserSeconds + usage.SystemSeconds)
            + TimeSpan.FromMicroseconds(usage.UserMicroseconds + usage.SystemMicroseconds);
    }
}
