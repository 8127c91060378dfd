using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// The one method of a migration at its destination: demanded, or what the first packet with pages carries. Thread-safe: channels see it
/// first in any order.
/// </summary>
internal sealed class MethodAgreement(CompressionMethod? demanded)
{
    private const long Open = -1;

    private long _method = demanded is { } method ? (long)CompressionSettings.FlagsOf(method) : Open;

    /// <summary>The bits that this packet must carry; <see cref="MultifdPacketReader"/> compares.</summary>
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
            // Refused as what it is not: methods of special hardware, or several at once.
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
