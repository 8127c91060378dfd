namespace DataPlane.Memory;

/// <summary>
/// Hands out the pages of one round in batches to any number of senders.
/// </summary>
/// <remarks>
/// Senders take the next batch themselves, under a lock that is held for the search of at most one packet (about 100 ns on a dense map).
/// There is no queue and no producer thread between the bitmap and the senders: the first idle channel gets the next packet, memory is
/// bounded by
/// one batch per sender, and no thread is woken per packet.
/// </remarks>
internal sealed class PageFeed
{
    private readonly Lock _gate = new();
    private readonly GuestMemory _memory;
    private readonly GuestPageSet? _holdingData;
    private GuestPageSet _pages;
    private int _block;
    private long _nextPage;
    private long _taken;
    private bool _stopped;

    /// <param name="memory">The guest's memory.</param>
    /// <param name="pages">The pages of the first round.</param>
    /// <param name="holdingData">The pages that are not zero, where the host knows them.</param>
    public PageFeed(GuestMemory memory, GuestPageSet pages, GuestPageSet? holdingData = null)
    {
        _memory = memory;
        _holdingData = holdingData;
        _pages = pages;
    }

    /// <summary>Pages handed out in this round so far. Safe to read from any thread.</summary>
    public long Taken => Volatile.Read(ref _taken);

    /// <summary>Begins a round over <paramref name="pages"/>, which must not change until the round is over.</summary>
    public void Restart(GuestPageSet pages)
    {
        lock (_gate)
        {
            _pages = pages;
            _block = 0;
            _nextPage = 0;
            Volatile.Write(ref _taken, 0);
        }
    }

    /// <summary>Ends the round, and every later one: what has not been taken stays where it is.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
        }
    }

    /// <summary>Removes from the round's set what was taken. When the round is over.</summary>
    public void RemoveTaken()
    {
        lock (_gate)
        {
            for (var i = 0; i < _block; i++)
            {
                _pages[_memory.Blocks[i]].ClearAll();
            }

            if (_block < _memory.Blocks.Count)
            {
                _pages[_memory.Blocks[_block]].ClearRange(0, _nextPage);
            }
        }
    }

    /// <summary>Fills <paramref name="batch"/> with the next pages of one block. False when the round has no more.</summary>
    public bool TryTake(PageBatch batch)
    {
        batch.Clear();
        lock (_gate)
        {
            var blocks = _memory.Blocks;
            for (; !_stopped && _block < blocks.Count; _block++, _nextPage = 0)
            {
                var block = blocks[_block];
                var map = _pages[block];
                while (batch.Free > 0 && map.TryFindSetRun(_nextPage, batch.Free, out var first, out var count))
                {
                    batch.Add(new PageRun(block, first, count));
                    _nextPage = first + count;
                }

                if (batch.PageCount > 0)
                {
                    batch.HoldingData = _holdingData?[block];
                    Volatile.Write(ref _taken, _taken + batch.PageCount);
                    return true;
                }
            }

            return false;
        }
    }
}
