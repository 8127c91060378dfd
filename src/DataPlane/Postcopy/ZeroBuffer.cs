using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>As many zeros as the largest page that backs guest memory. Never written, so it costs addresses and no memory.</summary>
internal static class ZeroBuffer
{
    private static readonly MemoryMapping s_zeros = MemoryMapping.Anonymous(MemoryMapping.HugePageSize);

    public static nint Address => s_zeros.Address;
}
