using System.Numerics;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// The size of the pages that back each RAM block at the destination. A host page is placed as a whole, so it is requested, discarded and
/// sent as a whole (specification, 4-postcopy section 4.3.1). Nothing on the wire tells the source these sizes, so both sides must be
/// configured with the same.
/// </summary>
internal sealed class HostPages
{
    private readonly long[] _pages;

    /// <param name="memory">The guest's memory.</param>
    /// <param name="sizes">Page sizes in bytes by block name, for blocks whose size at the destination differs from the size here.</param>
    /// <exception cref="ArgumentException">A named block does not exist, or cannot consist of pages of the given size.</exception>
    public HostPages(GuestMemory memory, IReadOnlyDictionary<string, long>? sizes = null)
    {
        _pages = [.. memory.Blocks.Select(static block => block.HostPageSize >> TargetPage.Shift)];
        foreach (var (name, size) in sizes ?? new Dictionary<string, long>())
        {
            if (!memory.TryGetBlock(name, out var block))
            {
                throw new ArgumentException($"the guest has no RAM block '{name}' that could have pages of {size} bytes", nameof(sizes));
            }

            if (!Fit(block, size))
            {
                throw new ArgumentException($"RAM block '{name}' of {block.Length} bytes cannot have pages of {size} bytes", nameof(sizes));
            }

            _pages[block.Index] = size >> TargetPage.Shift;
        }

        foreach (var pages in _pages)
        {
            Summary |= (ulong)pages << TargetPage.Shift;
        }
    }

    /// <summary>Whether <paramref name="block"/> can consist of pages of <paramref name="size"/> bytes.</summary>
    public static bool Fit(RamBlock block, long size) =>
        BitOperations.IsPow2(size) && size is >= TargetPage.Size and <= WireLimits.MaxBlockPageSize && block.Length % size == 0;

    /// <summary>The bitwise OR of all sizes in bytes, which ADVISE carries.</summary>
    public ulong Summary { get; }

    /// <summary>The number of target pages in one host page of <paramref name="block"/>.</summary>
    public long PagesOf(RamBlock block) => _pages[block.Index];

    /// <summary>The number of bytes in one host page of <paramref name="block"/>.</summary>
    public long SizeOf(RamBlock block) => PagesOf(block) << TargetPage.Shift;

    /// <summary>Widens the set so that it has all pages of every host page of which it has any.</summary>
    public void Widen(GuestPageSet set)
    {
        foreach (var block in set.Memory.Blocks)
        {
            var pages = PagesOf(block);
            if (pages == 1)
            {
                continue;
            }

            var map = set[block];
            for (long next = 0; map.TryFindSetRun(next, long.MaxValue, out var first, out var count);)
            {
                var start = first & -pages;
                next = (first + count + pages - 1) & -pages;
                map.SetRange(start, next - start);
            }
        }
    }
}
