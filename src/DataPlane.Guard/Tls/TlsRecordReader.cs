using System.Buffers.Binary;

namespace DataPlane.Guard.Tls;

/// <summary>Cuts one direction of a TLS session into records, and keeps only the head of each.</summary>
internal sealed class TlsRecordReader
{
    private const int HeaderSize = 5;
    private const int MaxLength = (1 << 14) + 256;

    // A ServerHello is below 200 bytes with any classical key share in use, and below 1400 with the post-quantum ones.
    private const int Kept = 2048;

    private readonly byte[] _header = new byte[HeaderSize];
    private readonly byte[] _head = new byte[Kept];
    private int _headerBytes;
    private int _kept;
    private int _left;

    public byte Type => _header[0];

    /// <summary>The number of bytes in the record after its header.</summary>
    public int Length { get; private set; }

    /// <summary>The record's first bytes; all of them where it is small.</summary>
    public ReadOnlySpan<byte> Head => _head.AsSpan(0, _kept);

    /// <summary>Whether bytes came that are not a record: nothing more is read.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>Takes bytes up to the end of a record; returns true when the end has come.</summary>
    public bool TryRead(ref ReadOnlySpan<byte> bytes)
    {
        while (!IsBroken && !bytes.IsEmpty)
        {
            if (_headerBytes < HeaderSize)
            {
                _header[_headerBytes++] = bytes[0];
                bytes = bytes[1..];
                if (_headerBytes == HeaderSize)
                {
                    Begin();
                }

                if (_headerBytes < HeaderSize || _left > 0)
                {
                    continue;
                }
            }

            var taken = Math.Min(_left, bytes.Length);
            var kept = Math.Min(taken, Kept - _kept);
            bytes[..kept].CopyTo(_head.AsSpan(_kept));
            _kept += kept;
            _left -= taken;
            bytes = bytes[taken..];
            if (_left > 0 || IsBroken)
            {
                continue;
            }

            _headerBytes = 0;
            return true;
        }

        return false;
    }

    private void Begin()
    {
        Length = BinaryPrimitives.ReadUInt16BigEndian(_header.AsSpan(3));
        _left = Length;
        _kept = 0;
        IsBroken = _header[0] is < TlsRecordType.Change or > TlsRecordType.Data || _header[1] != 3 || Length > MaxLength;
    }
}

/// <summary>The types of TLS records that tell how far a handshake is.</summary>
internal static class TlsRecordType
{
    public const byte Change = 20;
    public const byte Handshake = 22;
    public const byte Data = 23;
}
