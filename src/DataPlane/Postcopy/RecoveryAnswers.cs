using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Collects what a destination answers when the source recovers the link (specification, 4-postcopy section 4.6.2): first the pages that it
/// holds, then that it goes on.
/// </summary>
internal sealed class RecoveryAnswers
{
    private readonly bool[] _answered;
    private readonly TaskCompletionSource<GuestPageSet> _missing = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _resumed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly GuestPageSet _unsent;
    private int _open;
    private bool _askedToResume;

    public RecoveryAnswers(GuestMemory memory)
    {
        _answered = new bool[memory.Blocks.Count];
        _open = memory.Blocks.Count;
        _unsent = new GuestPageSet(memory);
        _unsent.SetAll();
    }

    /// <summary>Completes with the pages that the destination does not hold, once it has reported every block.</summary>
    public Task<GuestPageSet> Missing => _missing.Task;

    /// <summary>Completes when the destination has acknowledged RESUME.</summary>
    public Task Resumed => _resumed.Task;

    /// <summary>Takes the bitmap of one block. Returns false if the block has been reported before.</summary>
    public bool TryTake(RamBlock block, PageBitmap received)
    {
        if (_answered[block.Index])
        {
            return false;
        }

        _answered[block.Index] = true;
        for (long next = 0; received.TryFindSetRun(next, long.MaxValue, out var first, out var count); next = first + count)
        {
            _unsent[block].ClearRange(first, count);
        }

        if (--_open == 0)
        {
            _missing.SetResult(_unsent);
        }

        return true;
    }

    /// <summary>To be called before RESUME is sent.</summary>
    public void AskToResume() => Volatile.Write(ref _askedToResume, true);

    /// <summary>Takes RESUME_ACK. Returns false if RESUME was not sent, or has been acknowledged before.</summary>
    /// <exception cref="ChannelException">The destination refuses to go on.</exception>
    public bool TryTakeAck(uint value)
    {
        if (!Volatile.Read(ref _askedToResume) || _resumed.Task.IsCompleted)
        {
            return false;
        }

        if (value != 1)
        {
            throw new ChannelException(FailureReason.PeerRefused, ChannelId.Main, $"the destination does not go on (RESUME_ACK {value})");
        }

        _resumed.SetResult();
        return true;
    }
}
