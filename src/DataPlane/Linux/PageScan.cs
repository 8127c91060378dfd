using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>struct page_region: pages of equal category, as addresses; the end is exclusive.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PageRegion
{
    public ulong Start;
    public ulong End;
    public ulong Categories;
}

/// <summary>struct pm_scan_arg, the argument of the ioctl PAGEMAP_SCAN (Linux 6.7).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PageScanArgument
{
    public ulong Size;
    public ulong Flags;
    public ulong Start;
    public ulong End;
    public ulong WalkEnd;
    public ulong Vector;
    public ulong VectorLength;
    public ulong MaxPages;
    public ulong CategoryInverted;
    public ulong CategoryMask;
    public ulong CategoryAnyOfMask;
    public ulong ReturnMask;
}

/// <summary>Numbers that go with <see cref="PageScanArgument"/>.</summary>
internal static class PageScan
{
    /// <summary>The ioctl number of PAGEMAP_SCAN.</summary>
    public const uint Request = 0xC060_6610;

    /// <summary>PM_SCAN_WP_MATCHING: protect what is reported, atomically with the report.</summary>
    public const ulong ProtectMatching = 1;

    /// <summary>PM_SCAN_CHECK_WPASYNC: fail where the memory is not registered for asynchronous write protection.</summary>
    public const ulong RequireAsyncProtection = 2;

    /// <summary>PAGE_IS_WRITTEN: the page is not write-protected, so it was written after it was last protected.</summary>
    public const ulong IsWritten = 2;
}
