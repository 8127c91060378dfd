namespace DataPlane.Memory;

/// <summary>How <see cref="RamBlock.Allocate"/> gets its memory. Any combination is valid.</summary>
public sealed record RamAllocation
{
    /// <summary>Huge pages, not populated, private.</summary>
    public static RamAllocation Default { get; } = new();

    /// <summary>
    /// Ask for huge pages (default true): populating is then about ten times as fast. The kernel may decline; the memory works all the
    /// same. False asks for none, also where the system gives them unasked: for memory whose single pages userfaultfd will place.
    /// </summary>
    public bool HugePages { get; init; } = true;

    /// <summary>
    /// Give the block all its pages before <see cref="RamBlock.Allocate"/> returns (default false). Without it each page costs a fault
    /// at its first write.
    /// </summary>
    public bool Populate { get; init; }

    /// <summary>
    /// Size in bytes of the pages that back the block: 4096 (default), or 2 MiB for memory that the system has reserved as huge pages
    /// (<c>vm.nr_hugepages</c>). The block's length must be a multiple of it.
    /// </summary>
    public long HostPageSize { get; init; } = TargetPage.Size;

    /// <summary>Back the block by a memory file that other processes could map (default false). Costs more to populate.</summary>
    public bool Shared { get; init; }
}
