using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Compresses the pages of one multifd channel as one continuous stream over the whole migration. It is flushed at the end of every packet,
/// so that the pages of the packet can be decoded from what has been received (specification, 3-multifd section 4). Used by one thread at a
/// time; nothing is allocated per packet.
/// </summary>
/// <remarks>
/// A running guest may write its pages meanwhile. Every byte is read only once, so a page may be torn, but the stream can always be
/// decoded.
/// </remarks>
internal abstract class PayloadCompressor : IDisposable
{
    /// <summary>The number of vectors that <see cref="Compress"/> needs in addition to one per page and one for the header.</summary>
    public const int ExtraVectors = 16;

    private readonly MemoryMapping _output = MemoryMapping.Anonymous(WireLimits.MaxCompressedPacketBytes);

    /// <summary>The flags of the packets.</summary>
    public abstract MultifdFlags Method { get; }

    /// <summary>
    /// The address of the memory for compressed bytes. It has room for the largest packet; only the pages in use are populated.
    /// </summary>
    protected nint Output => _output.Address;

    protected static int OutputBytes => WireLimits.MaxCompressedPacketBytes;

    /// <summary>
    /// Sets a page aside, to be sent after the others; <see cref="Compress"/> then adds it to the header. Returns false if the page keeps
    /// its place in the packet.
    /// </summary>
    public virtual bool TrySetAside(nint address, long offset) => false;

    /// <summary>Compresses the pages of one packet.</summary>
    /// <param name="packet">The header of the packet. Pages that were set aside are added to it.</param>
    /// <param name="vectors">
    /// The first vector is the header's. The others are the runs of pages, and are replaced by what is to be sent.
    /// </param>
    /// <param name="count">The number of vectors, before and after.</param>
    /// <returns>The size of the payload in bytes.</returns>
    public abstract int Compress(scoped ref MultifdPacketWriter packet, scoped Span<IoVec> vectors, ref int count);

    public void Dispose()
    {
        Release();
        _output.Dispose();
    }

    /// <summary>Frees the resources of the method.</summary>
    protected abstract void Release();
}
