using System.IO.Compression;
using DataPlane.Linux;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Decompresses zlib with the runtime's own inflate, which writes straight into guest memory. Only the compressed bytes are copied, in
/// pieces of 8 KiB.
/// </summary>
internal sealed class ZlibDecompressor : PayloadDecompressor
{
    private readonly InflateSource _source;
    private readonly ZLibStream _inflate;

    public ZlibDecompressor()
    {
        _source = new InflateSource(InputAddress);
        _inflate = new ZLibStream(_source, CompressionMode.Decompress);
    }

    public override unsafe string? Decompress(int bytes, ReadOnlySpan<IoVec> pages)
    {
        _source.Restart(bytes);
        try
        {
            foreach (var run in pages)
            {
                // SAFETY: the caller vouches for the pages, and a packet has at most 512 KiB of them.
                Span<byte> rest = new((void*)run.Address, (int)run.Length);
                for (int done; !rest.IsEmpty; rest = rest[done..])
                {
                    done = _inflate.Read(rest);
                    if (done == 0)
                    {
                        return _source.RanDry ? TooShort : Ends;
                    }
                }
            }

            // The flush at the end of the packet yields no bytes: the decoder must consume it and ask for more input.
            Span<byte> beyond = stackalloc byte[1];
            return _inflate.Read(beyond) != 0 ? TooLong : _source.RanDry ? null : Ends;
        }
        catch (Exception broken) when (broken is InvalidDataException or IOException)
        {
            // An IOException means a stream that is not damaged but needs what a channel does not have, such as a preset dictionary.
            return $"the compressed payload is no zlib stream: {broken.Message}";
        }
    }

    protected override void Release() => _inflate.Dispose();
}
