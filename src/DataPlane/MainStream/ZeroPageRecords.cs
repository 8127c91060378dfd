using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Sends the zero pages that multifd channels find as records on the main channel, for destinations that do not know zero pages in packets
/// (specification, 3-multifd section 2.6).
/// </summary>
/// <remarks>
/// Thread-safe. Records are collected in one of two blocks. The thread that has filled a block sends it, while the others go on with the
/// other block. If the destination does not read main for a while, only threads that find no room left wait, and none of them holds the
/// lock meanwhile. The session writes the remaining records itself before it ends the section. During a round nobody else writes to main.
/// </remarks>
internal sealed class ZeroPageRecords(Channel main, BlockPool pool) : IDisposable
{
    private const int RecordSize = RamRecordHeader.MaxSize + 1;

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _turn = new(1); // Held by the thread that sends; a thread that waits for it does not hold the lock.
    private PooledBlock _filling = pool.RentBlock("zero records");
    private PooledBlock _sending = pool.RentBlock("zero records");
    private int _used;
    private RamBlock? _lastBlock;

    /// <summary>
    /// Adds zero pages of <paramref name="block"/> by their offsets in bytes. Waits while both blocks are full and main accepts nothing.
    /// </summary>
    /// <exception cref="ChannelException">The main channel has ended.</exception>
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

    /// <summary>
    /// Returns and removes the records that have not been sent yet. To be called only between rounds; the result is valid until the next
    /// round begins.
    /// </summary>
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

    /// <summary>Writes as many records as there is room for, and returns their number.</summary>
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

    /// <summary>
    /// Sends the full block. Records must be sent in the order in which they were written, because a record names no block if the one
    /// before it belongs to the same block.
    /// </summary>
    private void Send()
    {
        _turn.Wait(); // Waits until main has taken what another thread sends, or is aborted.
        try
        {
            Span<IoVec> vectors = [default];
            lock (_gate)
            {
                if (_filling.Length - _used >= RecordSize)
                {
                    return; // Another thread has sent it meanwhile.
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
