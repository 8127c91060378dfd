using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// The zero pages that multifd channels find, as records on the main channel: for destinations that know no zero pages in packets
/// (specification, 3-multifd section 2.6).
/// </summary>
/// <remarks>
/// Thread-safe. Records collect in one block, which goes out when it is full; the session writes the rest itself before it ends the
/// section. During a round nobody else writes to main. The destination reads main and channels at the same time, so a full main channel
/// never holds up for long.
/// </remarks>
internal sealed class ZeroPageRecords(Channel main, BlockPool pool) : IDisposable
{
    private const int RecordSize = RamRecordHeader.MaxSize + 1;

    private readonly Lock _gate = new();
    private readonly PooledBlock _block = pool.RentBlock("zero records");
    private int _used;
    private RamBlock? _lastBlock;

    /// <summary>Adds pages of <paramref name="block"/> by their offsets.</summary>
    /// <exception cref="ChannelException">Main has ended.</exception>
    public void Add(RamBlock block, ReadOnlySpan<long> offsets)
    {
        lock (_gate)
        {
            foreach (var offset in offsets)
            {
                if (_block.Length - _used < RecordSize)
                    Send();
                var named = block != _lastBlock;
                _lastBlock = block;
                var flags = RamFlags.Zero | (named ? 0 : RamFlags.Continue);
                _used += RamRecordHeader.Write(_block.Span[_used..], flags, offset, named ? block.Utf8Name : default);
                _block.Span[_used++] = 0;
            }
        }
    }

    /// <summary>Hands over the records that have not gone out yet. Only between rounds; valid until the next round begins.</summary>
    public ReadOnlySpan<byte> TakeRest()
    {
        var rest = _block.Span[.._used];
        _used = 0;
        return rest;
    }

    public void Dispose() => _block.Dispose();

    private void Send()
    {
        Span<IoVec> vectors = [new IoVec(_block.Address, (nuint)_used)];
        _used = 0;
        var result = main.Send(vectors);
        if (!result.Complete)
            throw ChannelException.From(result, main, "sending zero pages");
    }
}
