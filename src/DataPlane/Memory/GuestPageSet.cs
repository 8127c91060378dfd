namespace DataPlane;

/// <summary>A set of target pages of one guest, with one <see cref="PageBitmap"/> per block. As thread-safe as these bitmaps.</summary>
public sealed class GuestPageSet
{
    private readonly PageBitmap[] _bitmaps;

    /// <summary>Creates an empty set.</summary>
    public GuestPageSet(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        Memory = memory;
        _bitmaps = new PageBitmap[memory.Blocks.Count];
        for (var i = 0; i < _bitmaps.Length; i++)
        {
            _bitmaps[i] = new PageBitmap(memory.Blocks[i].PageCount);
        }
    }

    /// <summary>The memory to which the pages belong.</summary>
    public GuestMemory Memory { get; }

    /// <summary>The bitmap of the pages of one block.</summary>
    /// <exception cref="ArgumentException">The block belongs to another guest.</exception>
    public PageBitmap this[RamBlock block]
    {
        get
        {
            ArgumentNullException.ThrowIfNull(block);
            var index = block.Index;
            if ((uint)index >= (uint)_bitmaps.Length || !ReferenceEquals(Memory.Blocks[index], block))
            {
                throw new ArgumentException($"Block {block.Name} belongs to another guest.", nameof(block));
            }

            return _bitmaps[index];
        }
    }

    /// <summary>Number of pages in the set.</summary>
    public long CountSet()
    {
        long count = 0;
        foreach (var bitmap in _bitmaps)
        {
            count += bitmap.CountSet();
        }

        return count;
    }

    /// <summary>Adds every page.</summary>
    public void SetAll()
    {
        foreach (var bitmap in _bitmaps)
        {
            bitmap.SetAll();
        }
    }

    /// <summary>Removes every page.</summary>
    public void ClearAll()
    {
        foreach (var bitmap in _bitmaps)
        {
            bitmap.ClearAll();
        }
    }

    /// <summary>Removes the pages of another set of the same guest.</summary>
    internal void ExceptWith(GuestPageSet other)
    {
        for (var i = 0; i < _bitmaps.Length; i++)
        {
            _bitmaps[i].ExceptWith(other._bitmaps[i]);
        }
    }

    /// <summary>Adds the pages of another set of the same guest.</summary>
    /// <exception cref="ArgumentException">The other set belongs to another guest.</exception>
    public void UnionWith(GuestPageSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (!ReferenceEquals(other.Memory, Memory))
        {
            throw new ArgumentException("The sets belong to different guests.", nameof(other));
        }

        for (var i = 0; i < _bitmaps.Length; i++)
        {
            _bitmaps[i].UnionWith(other._bitmaps[i]);
        }
    }
}
