namespace DataPlane.Memory;

/// <summary>Hands out the pages of one round in batches to any number of senders.</summary>
/// <remarks>
/// Senders take the next batch themselves, under a lock that is held while one packet at most is searched (about 100 ns on a dense bitmap).
/// There is no queue and no producer thread between the bitmap and the senders: the first idle channel gets the next packet, memory is
/// bounded by one batch per sender, and no thread is woken per packet.
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
    /// <param name="holdingData">The pages that are not zero if the host knows them; otherwise null.</param>
    public PageFeed(GuestMemory memory, GuestPageSet pages, GuestPageSet? holdingData = null)
    {
        _memory = memory;
        _holdingData = holdingData;
        _pages = pages;
    }

    /// <summary>Number of pages handed out in this round so far. Thread-safe.</summary>
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

    /// <summary>Ends this round and every later one. Pages that have not been taken stay in the set of the round.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
        }
    }

    /// <summary>Removes from the set of the round the pages that were taken. To be called when the round is over.</summary>
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

    /// <summary>Fills <paramref name="batch"/> with the next pages of one block. Returns false if the round has no more pages.</summary>
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
