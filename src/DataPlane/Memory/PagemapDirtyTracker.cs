using DataPlane.Linux;
using DataPlane.Memory;
using Microsoft.Win32.SafeHandles;

namespace DataPlane;

/// <summary>
/// Tracks dirty pages with the kernel's help: userfaultfd write-protects them asynchronously, and PAGEMAP_SCAN reads and renews the
/// protection (Linux 6.7). Every write through this process's page tables is tracked: those of the process, of system calls made for it,
/// and of a vCPU.
/// </summary>
/// <remarks>
/// <para>Pages discarded with MADV_DONTNEED are reported too, because their contents have changed. Writes of another process through its
/// own mapping of shared memory are not seen, nor are writes of devices to pages pinned earlier.</para>
/// <para>The first write to a page after each <see cref="Collect"/> costs the guest about a microsecond. It splits the huge page that it
/// hits, and only the 4 KiB page written is reported.</para>
/// </remarks>
public sealed class PagemapDirtyTracker : IDirtyTracker
{
    // This makes 48 KiB of results per system call; a scan that finds more regions takes another call.
    private const int RegionsPerScan = 2048;

    private readonly GuestMemory _memory;
    private readonly PageRegion[] _regions = new PageRegion[RegionsPerScan];
    private Userfaultfd? _userfaultfd;
    private SafeFileHandle? _pageMap;

    /// <summary>Creates a tracker that has not started.</summary>
    /// <param name="memory">
    /// The guest. Its blocks must start and end at page boundaries of this machine, and must outlive the tracker.
    /// </param>
    /// <exception cref="ArgumentException">A block does not start or end at a page boundary of this machine.</exception>
    public PagemapDirtyTracker(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        CheckAlignment(memory, Environment.SystemPageSize);
        _memory = memory;
    }

    /// <summary>
    /// Finds out whether this kernel offers this kind of tracking to this user by trying it on one page. Takes well under a millisecond.
    /// </summary>
    /// <param name="reason">A text that explains what is missing; null if tracking is supported.</param>
    public static bool IsSupported(out string? reason)
    {
        using var page = RamBlock.Allocate("probe", Environment.SystemPageSize, new RamAllocation { HugePages = false });
        using var memory = new GuestMemory([page]);
        using var tracker = new PagemapDirtyTracker(memory);
        try
        {
            tracker.Start();
            page.Span(0, 1)[0] = 1;
            var works = tracker.Collect(new GuestPageSet(memory)) != 0;
            reason = works ? null : "PAGEMAP_SCAN works but did not report a write on this kernel";
            return works;
        }
        catch (LinuxException e)
        {
            reason = TrackingSupport.Explain(e.Call, e.Errno, Environment.OSVersion.Version);
            return false;
        }
    }

    /// <inheritdoc/>
    public void Start()
    {
        if (_userfaultfd is not null)
        {
            throw new InvalidOperationException("Dirty tracking has started already.");
        }

        try
        {
            _pageMap = LinuxFile.Open("/proc/self/pagemap", FileCalls.OpenReadOnly);
            _userfaultfd = Userfaultfd.OpenForWriteTracking();
            foreach (var block in _memory.BlockSpan)
            {
                _userfaultfd.Register(block.Address, block.Length, UserfaultRegister.ModeWriteProtect);
                Protect(_pageMap, block);
            }
        }
        catch
        {
            Stop();
            throw;
        }
    }

    /// <inheritdoc/>
    public long Collect(GuestPageSet dirty)
    {
        ArgumentNullException.ThrowIfNull(dirty);
        if (_pageMap is not { } pageMap)
        {
            throw new InvalidOperationException("Dirty tracking has not started.");
        }

        long pages = 0;
        foreach (var block in _memory.BlockSpan)
        {
            pages += CollectBlock(pageMap, block, dirty[block]);
        }

        return pages;
    }

    /// <inheritdoc/>
    public void Stop()
    {
        // Closing the userfaultfd unregisters all its memory.
        _userfaultfd?.Dispose();
        _userfaultfd = null;
        _pageMap?.Dispose();
        _pageMap = null;
    }

    /// <inheritdoc/>
    public void Dispose() => Stop();

    /// <summary>
    /// Checks the alignment of the blocks, because the kernel protects whole pages of its own, which may be larger than target pages.
    /// </summary>
    internal static void CheckAlignment(GuestMemory memory, int systemPageSize)
    {
        foreach (var block in memory.BlockSpan)
        {
            if (block.Address % systemPageSize != 0 || block.Length % systemPageSize != 0)
            {
                throw new ArgumentException($"Block {block} does not start and end at pages of this machine.", nameof(memory));
            }
        }
    }

    private long CollectBlock(SafeFileHandle pageMap, RamBlock block, PageBitmap dirty)
    {
        var address = (ulong)block.Address;
        var end = address + (ulong)block.Length;
        long pages = 0;
        for (var from = address; from < end;)
        {
            var count = Scan(pageMap, from, end, _regions, out var next);
            foreach (ref readonly var region in _regions.AsSpan(0, count))
            {
                var length = (long)(region.End - region.Start) >> TargetPage.Shift;
                dirty.SetRange((long)(region.Start - address) >> TargetPage.Shift, length);
                pages += length;
            }
            from = Advance(from, next, block);
        }
        return pages;
    }

    // A scan without room for results only protects pages. It includes pages that are not there yet, since reading those would otherwise
    // count as writing.
    private static void Protect(SafeFileHandle pageMap, RamBlock block)
    {
        var end = (ulong)block.Address + (ulong)block.Length;
        for (var from = (ulong)block.Address; from < end;)
        {
            _ = Scan(pageMap, from, end, [], out var next);
            from = Advance(from, next, block);
        }
    }

    private static ulong Advance(ulong from, ulong next, RamBlock block)
        => next > from ? next : throw new IOException($"PAGEMAP_SCAN made no progress in block {block.Name}.");

    // Reports and protects pages from `from` on until the results are full or `end` is reached. `next` is the address at which the next
    // scan begins.
    private static unsafe int Scan(SafeFileHandle pageMap, ulong from, ulong end, Span<PageRegion> results, out ulong next)
    {
        fixed (PageRegion* regions = results)
        {
            PageScanArgument argument = new()
            {
                Size = (ulong)sizeof(PageScanArgument),
                Flags = PageScan.ProtectMatching | PageScan.RequireAsyncProtection,
                Start = from,
                End = end,
                Vector = (ulong)regions,
                VectorLength = (ulong)results.Length,
                CategoryMask = PageScan.IsWritten,
                ReturnMask = results.IsEmpty ? 0 : PageScan.IsWritten,
            };
            // SAFETY: the kernel writes at most VectorLength regions into the fixed span, and the local struct.
            var count = FileCalls.Control(pageMap, PageScan.Request, &argument);
            if (count < 0)
            {
                LinuxException.ThrowLast("ioctl(PAGEMAP_SCAN)");
            }

            next = argument.WalkEnd;
            return count;
        }
    }
}
