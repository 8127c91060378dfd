using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>
/// A buffer of zeros, as long as the largest page that backs guest memory here. It is never written, so it takes address space but no
/// memory.
/// </summary>
internal static class ZeroBuffer
{
    private static readonly MemoryMapping s_zeros = MemoryMapping.Anonymous(MemoryMapping.HugePageSize);

    public static nint Address => s_zeros.Address;
}
