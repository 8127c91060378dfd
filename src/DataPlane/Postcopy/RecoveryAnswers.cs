using DataPlane.Memory;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// What a destination answers when its source comes again over a new link (specification, 4-postcopy section 4.6.2): first what it holds,
/// then that it goes on.
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

    /// <summary>The pages that it does not hold, once it has told about every block.</summary>
    public Task<GuestPageSet> Missing => _missing.Task;

    public Task Resumed => _resumed.Task;

    /// <summary>False when the block was not asked for, or has been told about already.</summary>
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

    /// <summary>RESUME is about to be sent.</summary>
    public void AskToResume() => Volatile.Write(ref _askedToResume, true);

    /// <summary>False when it was not asked.</summary>
    public bool TryTakeAck(uint value)
    {
        if (!Volatile.Read(ref _askedToResume) || _resumed.Task.IsCompleted)
        {
            return false;
        }

        if (value != 1)
        {
            throw new ChannelException(FailureReason.PeerRefused, "main", $"the destination does not go on (RESUME_ACK {value})");
        }

        _resumed.SetResult();
        return true;
    }
}
