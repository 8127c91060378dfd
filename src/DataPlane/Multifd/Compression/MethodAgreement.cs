using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// The one compression method of a migration at its destination: the one that the host demands, else the one of the first packet with
/// pages. Thread-safe, because any channel may receive that packet.
/// </summary>
internal sealed class MethodAgreement(CompressionMethod? demanded)
{
    private const long Open = -1;

    private long _method = demanded is { } method ? (long)CompressionSettings.FlagsOf(method) : Open;

    /// <summary>
    /// The method flags that this packet must carry. <see cref="MultifdPacketReader"/> compares them with those that it does carry.
    /// </summary>
    public MultifdFlags Expected(ReadOnlySpan<byte> header)
    {
        var agreed = Volatile.Read(ref _method);
        if (agreed != Open)
        {
            return (MultifdFlags)agreed;
        }

        var seen = MultifdPacketReader.MethodOf(header);
        if (seen is not (MultifdFlags.None or MultifdFlags.Zlib or MultifdFlags.Zstd))
        {
            // Methods of special hardware, or several at once, match no expectation, so the packet is refused.
            return MultifdFlags.None;
        }

        if (!MultifdPacketReader.HasPages(header))
        {
            return seen;
        }

        agreed = Interlocked.CompareExchange(ref _method, (long)seen, Open);
        return agreed == Open ? seen : (MultifdFlags)agreed;
    }
}
