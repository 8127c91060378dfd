using System.Buffers.Binary;
using DataPlane.Guard.Relay;
using DataPlane.Wire;

namespace DataPlane.Guard.Course;

/// <summary>
/// Sees whether a main channel has said everything in postcopy: the mark that ends the last section, its footer, and the end of the stream.
/// The socket stays open after it, so nothing else tells. More bytes take it back: then it was guest memory that looks like an end.
/// <code>
/// 00 00 00 00 00 00 00 10 | 7e 00 00 xx xx | 00      RAM is the last section
///                      01 | 7e 00 00 xx xx | 00      the bitmaps of a disk are
/// </code>
/// </summary>
/// <param name="come">
/// Told when it is seen, and not again before <see cref="Heard"/>: a source may end its stream as often as it likes. On the relay's thread,
/// or on that of <see cref="TellIfMissed"/>.
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

    /// <summary>Any thread.</summary>
    internal bool HasCome => _hasCome;

    /// <summary>How often it has been seen. Any thread.</summary>
    internal int Sightings => _sightings;

    public void Take(ReadOnlySpan<byte> last)
    {
        _last.AsSpan(last.Length).CopyTo(_last);
        last.CopyTo(_last.AsSpan(_last.Length - last.Length));
        var isEnd = IsEnd(_last);
        if (isEnd)
        {
            _sightings++; // nobody else writes
        }

        _hasCome = isEnd;
        if (isEnd && Interlocked.Exchange(ref _isTold, 1) == 0)
        {
            come(this);
        }
    }

    /// <summary>Whoever was told has done with it: the next sighting is told again. Any thread.</summary>
    internal void Heard() => Interlocked.Exchange(ref _isTold, 0);

    /// <summary>Tells of an end that came while whoever was told had not done with the one before. Any thread.</summary>
    internal void TellIfMissed()
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
