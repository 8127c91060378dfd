using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Compresses the pages of one multifd channel: one continuous stream over the whole migration, flushed at the end of every packet, so that
/// the packet's pages
/// can be decoded from what has been received (specification, 3-multifd section 4). One thread at a time; nothing is allocated per packet.
/// </summary>
/// <remarks>
/// A guest that runs writes its pages meanwhile. Every byte is read once, so a page may go torn, but never a stream that cannot be decoded.
/// </remarks>
internal abstract class PayloadCompressor : IDisposable
{
    /// <summary>Room that <see cref="Compress"/> needs in its vectors beyond one per page and the header's.</summary>
    public const int ExtraVectors = 16;

    private readonly MemoryMapping _output = MemoryMapping.Anonymous(WireLimits.MaxCompressedPacketBytes);

    /// <summary>The bits of the packets.</summary>
    public abstract MultifdFlags Method { get; }

    /// <summary>
    /// Where compressed bytes are collected: as many as a packet may have, of which the pages that are used get populated.
    /// </summary>
    protected nint Output => _output.Address;

    protected static int OutputBytes => WireLimits.MaxCompressedPacketBytes;

    /// <summary>
    /// Takes one page out of the order of the packet, to be sent after the others. <see cref="Compress"/> puts it into the header.
    /// </summary>
    public virtual bool TrySetAside(nint address, long offset) => false;

    /// <summary>Compresses one packet's pages.</summary>
    /// <param name="packet">Its header: pages that were set aside are added.</param>
    /// <param name="vectors">The first is the header's; then the runs of pages, which are replaced by what must be sent.</param>
    /// <param name="count">How many vectors there are, before and after.</param>
    /// <returns>Bytes of the payload.</returns>
    public abstract int Compress(scoped ref MultifdPacketWriter packet, scoped Span<IoVec> vectors, ref int count);

    public void Dispose()
    {
        Release();
        _output.Dispose();
    }

    /// <summary>Frees what the method holds.</summary>
    protected abstract void Release();
}
