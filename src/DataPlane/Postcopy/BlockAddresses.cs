namespace DataPlane.Postcopy;

/// <summary>Finds the RAM block that an address of this process belongs to. Thread-safe.</summary>
internal sealed class BlockAddresses
{
    private readonly RamBlock[] _byAddress;
    private readonly ulong[] _starts;

    public BlockAddresses(GuestMemory memory)
    {
        _byAddress = [.. memory.Blocks.OrderBy(static block => block.Address)];
        _starts = [.. _byAddress.Select(static block => (ulong)block.Address)];
    }

    /// <summary>Finds the block and the target page of an address. Returns false if no block contains it.</summary>
    public bool TryFind(ulong address, out RamBlock block, out long page)
    {
        var index = Array.BinarySearch(_starts, address);
        block = _byAddress[Math.Max(index >= 0 ? index : ~index - 1, 0)];
        var offset = address - (ulong)block.Address;
        page = (long)(offset >> TargetPage.Shift);
        return offset < (ulong)block.Length;
    }
}
