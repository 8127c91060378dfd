namespace DataPlane;

/// <summary>Options of <see cref="RamBlock.Allocate"/>. Any combination is valid.</summary>
public sealed record RamAllocation
{
    /// <summary>The default options: huge pages, not populated, private.</summary>
    public static RamAllocation Default { get; } = new();

    /// <summary>
    /// Whether to ask for huge pages (default true), which makes populating about ten times as fast. The kernel may decline; the memory
    /// works all the same. False refuses huge pages even where the system gives them unasked; it is meant for memory whose single pages
    /// userfaultfd will place. Ignored if <see cref="HostPageSize"/> is not 4096.
    /// </summary>
    public bool HugePages { get; init; } = true;

    /// <summary>
    /// Whether the block gets all its pages before <see cref="RamBlock.Allocate"/> returns (default false). Otherwise each page costs a
    /// fault at its first write.
    /// </summary>
    public bool Populate { get; init; }

    /// <summary>
    /// Size in bytes of the pages that back the block: 4096 (default), or 2 MiB for memory that the system has reserved as huge pages
    /// (<c>vm.nr_hugepages</c>). The block's length must be a multiple of it.
    /// </summary>
    public long HostPageSize { get; init; } = TargetPage.Size;

    /// <summary>
    /// Whether the block is backed by a memory file that other processes could map (default false), which costs more to populate.
    /// </summary>
    public bool Shared { get; init; }
}
