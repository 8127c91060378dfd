using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Decompresses the pages of one multifd channel straight into guest memory: one continuous stream, of which every packet brings the part
/// that holds exactly
/// its pages (specification, 3-multifd section 4). One thread at a time; nothing is allocated per packet.
/// </summary>
internal abstract class PayloadDecompressor : IDisposable
{
    private readonly MemoryMapping _input = MemoryMapping.Anonymous(WireLimits.MaxCompressedPacketBytes);

    /// <summary>Where the payload of the next packet is to be received.</summary>
    public IoVec Input(int bytes) => new(_input.Address, (nuint)bytes);

    /// <summary>
    /// Decodes the payload in <see cref="Input"/>. Never writes beyond <paramref name="pages"/>, whatever the payload holds.
    /// </summary>
    /// <returns>Null, or why the payload is not exactly what its header says: then the channel cannot go on.</returns>
    public abstract string? Decompress(int bytes, ReadOnlySpan<IoVec> pages);

    /// <summary>Bytes that it holds now; with the stream they may become more.</summary>
    public virtual long MemoryBytes => WireLimits.MaxCompressedPacketBytes;

    public void Dispose()
    {
        Release();
        _input.Dispose();
    }

    /// <summary>The errors of both methods, in the same words.</summary>
    protected static string TooShort => "the compressed payload yields fewer bytes than its packet has pages";

    protected static string TooLong => "the compressed payload yields more bytes than its packet has pages";

    protected static string Ends => "the compressed stream ends inside a packet";

    protected nint InputAddress => _input.Address;

    /// <summary>Frees what the method holds.</summary>
    protected abstract void Release();
}
