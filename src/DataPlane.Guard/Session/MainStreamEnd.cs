using System.Buffers.Binary;
using DataPlane.Guard.Relay;
using DataPlane.Wire;

namespace DataPlane.Guard.Session;

/// <summary>
/// Recognizes the end of a main stream in postcopy by its last bytes: the mark that ends the last section, its footer, and the end of the
/// stream. The socket stays open after it, so nothing else shows it. If more bytes follow, it was guest memory that looks like an end.
/// <code>
/// 00 00 00 00 00 00 00 10 | 7e 00 00 xx xx | 00      RAM is the last section
///                      01 | 7e 00 00 xx xx | 00      the bitmaps of a disk are the last section
/// </code>
/// </summary>
/// <param name="come">
/// Called when the end is seen, and not again before <see cref="Heard"/>: a source may end its stream as often as it likes. Runs on the
/// relay's thread, or on that of <see cref="TellIfMissed"/>.
/// </param>
internal sealed class MainStreamEnd(Action<MainStreamEnd> come) : IStreamTail
{
    private const int MarkEnd = sizeof(ulong);
    private const int FooterEnd = MarkEnd + SectionFooter.Size;
    private const byte FooterType = (byte)SectionType.Footer;
    private const byte BitmapsEnd = 1;

    private readonly byte[] _last = new byte[FooterEnd + 1];
    private volatile bool _hasCome;
    private volatile int _sightings;
    private int _isTold;

    public int Length => _last.Length;

    /// <summary>Whether the last bytes were the end of the stream. Any thread.</summary>
    public bool HasCome => _hasCome;

    /// <summary>How often the end has been seen. Any thread.</summary>
    public int Sightings => _sightings;

    public void Take(ReadOnlySpan<byte> last)
    {
        _last.AsSpan(last.Length).CopyTo(_last);
        last.CopyTo(_last.AsSpan(_last.Length - last.Length));
        var isEnd = IsEnd(_last);
        if (isEnd)
        {
            _sightings++; // only this thread writes it
        }

        _hasCome = isEnd;
        if (isEnd && Interlocked.Exchange(ref _isTold, 1) == 0)
        {
            come(this);
        }
    }

    /// <summary>Notes that the last report has been handled, so that the next sighting is reported again. Any thread.</summary>
    public void Heard() => Interlocked.Exchange(ref _isTold, 0);

    /// <summary>Reports an end that was seen before the previous report had been handled. Any thread.</summary>
    public void TellIfMissed()
    {
        if (_hasCome && Interlocked.Exchange(ref _isTold, 1) == 0)
        {
            come(this);
        }
    }

    private static bool IsEnd(ReadOnlySpan<byte> last) =>
        last[^1] == (byte)SectionType.EndOfFile
        && last[MarkEnd] == FooterType && last[MarkEnd + 1] == 0 && last[MarkEnd + 2] == 0 // sections are numbered from 0
        && (BinaryPrimitives.ReadUInt64BigEndian(last) == (ulong)RamFlags.EndOfSection || last[MarkEnd - 1] == BitmapsEnd);
}
