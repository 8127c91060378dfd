using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Decompresses the pages of one multifd channel straight into guest memory. The payloads are one continuous stream, and each holds exactly
/// the pages of its packet (specification, 3-multifd section 4). Used by one thread at a time; nothing is allocated per packet.
/// </summary>
internal abstract class PayloadDecompressor : IDisposable
{
    private readonly MemoryMapping _input = MemoryMapping.Anonymous(WireLimits.MaxCompressedPacketBytes);

    /// <summary>The memory into which the payload of the next packet is to be received.</summary>
    public IoVec Input(int bytes) => new(_input.Address, (nuint)bytes);

    /// <summary>
    /// Decodes the payload in <see cref="Input"/>. Never writes outside of <paramref name="pages"/>, whatever the payload holds.
    /// </summary>
    /// <returns>Null, or why the payload is not exactly what its header announced. The channel cannot go on then.</returns>
    public abstract string? Decompress(int bytes, ReadOnlySpan<IoVec> pages);

    /// <summary>The memory that the decompressor holds now, in bytes. It may grow with the stream.</summary>
    public virtual long MemoryBytes => WireLimits.MaxCompressedPacketBytes;

    public void Dispose()
    {
        Release();
        _input.Dispose();
    }

    /// <summary>The error of a payload that has too few bytes, the same for both methods.</summary>
    protected static string TooShort => "the compressed payload yields fewer bytes than its packet has pages";

    protected static string TooLong => "the compressed payload yields more bytes than its packet has pages";

    protected static string Ends => "the compressed stream ends inside a packet";

    protected nint InputAddress => _input.Address;

    /// <summary>Frees the resources of the method.</summary>
    protected abstract void Release();
}
