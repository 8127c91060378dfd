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
/// Thread-safe. Records collect in one of two blocks. When it is full, whoever has filled it sends it, while the others go on with the
/// other one: a destination that does not read main for a while stops only those who have nowhere left to write, and nobody holds a lock
/// then. The session writes the rest itself before it ends the section. During a round nobody else writes to main.
/// </remarks>
internal sealed class ZeroPageRecords(Channel main, BlockPool pool) : IDisposable
{
    private const int RecordSize = RamRecordHeader.MaxSize + 1;

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _turn = new(1); // of those who send; whoever waits for it holds nothing
    private PooledBlock _filling = pool.RentBlock("zero records");
    private PooledBlock _sending = pool.RentBlock("zero records");
    private int _used;
    private RamBlock? _lastBlock;

    /// <summary>Adds pages of <paramref name="block"/> by their offsets.</summary>
    /// <exception cref="ChannelException">Main has ended.</exception>
    public void Add(RamBlock block, ReadOnlySpan<long> offsets)
    {
        while (true)
        {
            lock (_gate)
            {
                offsets = offsets[Fill(block, offsets)..];
            }

            if (offsets.IsEmpty)
            {
                return;
            }

            Send();
        }
    }

    /// <summary>Hands over the records that have not gone out yet. Only between rounds; valid until the next round begins.</summary>
    public ReadOnlySpan<byte> TakeRest()
    {
        var rest = _filling.Span[.._used];
        _used = 0;
        return rest;
    }

    public void Dispose()
    {
        _filling.Dispose();
        _sending.Dispose();
        _turn.Dispose();
    }

    /// <summary>Writes as many as there is room for; returns how many.</summary>
    private int Fill(RamBlock block, ReadOnlySpan<long> offsets)
    {
        var done = 0;
        for (; done < offsets.Length && _filling.Length - _used >= RecordSize; done++)
        {
            var named = block != _lastBlock;
            _lastBlock = block;
            var flags = RamFlags.Zero | (named ? 0 : RamFlags.Continue);
            _used += RamRecordHeader.Write(_filling.Span[_used..], flags, offsets[done], named ? block.Utf8Name : default);
            _filling.Span[_used++] = 0;
        }

        return done;
    }

    /// <summary>Records go out in the order in which they were written: each may name no block because the one before it has.</summary>
    private void Send()
    {
        _turn.Wait(); // until main takes what another sends, or is aborted
        try
        {
            Span<IoVec> vectors = [default];
            lock (_gate)
            {
                if (_filling.Length - _used >= RecordSize)
                {
                    return; // another has sent it meanwhile
                }

                (_filling, _sending) = (_sending, _filling);
                vectors[0] = new IoVec(_sending.Address, (nuint)_used);
                _used = 0;
            }

            var result = main.Send(vectors);
            if (!result.Complete)
            {
                throw ChannelException.From(result, main, "sending zero pages");
            }
        }
        finally
        {
            _turn.Release();
        }
    }
}
