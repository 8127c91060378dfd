using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Tool.Serve;

/// <summary>Asks the kernel which pages of this process are present, and touches none.</summary>
internal sealed class PresentPages : IDisposable
{
    private const ulong Present = 1UL << 63;
    private const ulong Swapped = 1UL << 62;

    private readonly SafeFileHandle _pagemap = File.OpenHandle("/proc/self/pagemap");

    public bool IsPresent(nint address)
    {
        Span<byte> entry = stackalloc byte[sizeof(ulong)];
        var read = RandomAccess.Read(_pagemap, entry, (address >> TargetPage.Shift) * sizeof(ulong));
        return read == entry.Length && (BinaryPrimitives.ReadUInt64LittleEndian(entry) & (Present | Swapped)) != 0;
    }

    public void Dispose() => _pagemap.Dispose();
}
