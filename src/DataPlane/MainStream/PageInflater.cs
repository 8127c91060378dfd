using System.IO.Compression;
using DataPlane.Memory;

namespace DataPlane.MainStream;

/// <summary>
/// Decodes COMPRESS_PAGE records: one complete zlib stream of exactly one page each (specification, 2-main-stream section 2.5).
/// </summary>
internal sealed class PageInflater
{
    private byte[] _input = [];
    private int _length;

    /// <summary>A buffer of <paramref name="length"/> bytes to put the compressed page into.</summary>
    public Span<byte> Input(int length)
    {
        if (_input.Length < length)
        {
            _input = new byte[length];
        }

        _length = length;
        return _input.AsSpan(0, length);
    }

    /// <summary>Decodes the input into <paramref name="page"/>. False unless it yields exactly one page.</summary>
    public bool TryInflate(Span<byte> page)
    {
        using var zlib = new ZLibStream(new MemoryStream(_input, 0, _length, writable: false), CompressionMode.Decompress);
        try
        {
            return zlib.ReadAtLeast(page, TargetPage.Size, throwOnEndOfStream: false) == TargetPage.Size && zlib.ReadByte() < 0;
        }
        // The runtime has IOException for what it does not expect of zlib, as a stream that wants a dictionary.
        catch (Exception broken) when (broken is InvalidDataException or IOException)
        {
            return false;
        }
    }
}
