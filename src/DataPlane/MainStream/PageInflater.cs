using System.IO.Compression;

namespace DataPlane.MainStream;

/// <summary>
/// Decodes COMPRESS_PAGE records. Each of them holds one complete zlib stream of exactly one page (specification,
/// 2-main-stream section 2.5).
/// </summary>
internal sealed class PageInflater
{
    private byte[] _input = [];
    private int _length;

    /// <summary>Returns a buffer of <paramref name="length"/> bytes, which the caller fills with the compressed page.</summary>
    public Span<byte> Input(int length)
    {
        if (_input.Length < length)
        {
            _input = new byte[length];
        }

        _length = length;
        return _input.AsSpan(0, length);
    }

    /// <summary>Decompresses the input buffer into <paramref name="page"/>. Returns false unless the result is exactly one page.</summary>
    public bool TryInflate(Span<byte> page)
    {
        using var zlib = new ZLibStream(new MemoryStream(_input, 0, _length, writable: false), CompressionMode.Decompress);
        try
        {
            return zlib.ReadAtLeast(page, TargetPage.Size, throwOnEndOfStream: false) == TargetPage.Size && zlib.ReadByte() < 0;
        }
        // ZLibStream throws IOException where it does not expect the result of zlib, for example for a stream that needs a dictionary.
        catch (Exception broken) when (broken is InvalidDataException or IOException)
        {
            return false;
        }
    }
}
