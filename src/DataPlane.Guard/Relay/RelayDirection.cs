using System.Runtime.InteropServices;

namespace DataPlane.Guard.Relay;

/// <summary>
/// Moves bytes one way, as far as both sockets permit without waiting. Nothing is read that the receiver has no room for, so the sender is
/// slowed down to the receiver's pace. One thread uses it, except <see cref="Bytes"/> and <see cref="IsOver"/>.
/// </summary>
internal abstract class RelayDirection(RelayEnd from, RelayEnd to)
{
    /// <summary>The largest number of bytes per turn, so that a channel that never pauses does not keep its neighbours waiting.</summary>
    public const long BytesPerTurn = 4 << 20;

    private long _bytes;
    private bool _sourceEnded;
    private volatile bool _isOver;

    /// <summary>The number of bytes that the target has taken. Any thread.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Whether this direction has ended in order. Any thread.</summary>
    public bool IsOver => _isOver;

    /// <summary>The system's error number of a loss.</summary>
    public int Errno { get; private set; }

    /// <summary>Tells whether the target may learn of the source's end now; null permits it.</summary>
    public Func<bool>? MayFinish { get; init; }

    protected RelayEnd From { get; } = from;

    protected RelayEnd To { get; } = to;

    protected abstract bool HasPending { get; }

    public PumpResult Pump()
    {
        if (IsOver)
        {
            return PumpResult.Waiting;
        }

        for (long moved = 0; moved < BytesPerTurn;)
        {
            if (HasPending)
            {
                if (!To.IsWritable)
                {
                    return PumpResult.Waiting;
                }

                var written = Give();
                if (written < 0 && !MayTryAgain())
                {
                    return PumpResult.TargetLost;
                }

                To.IsWritable = written >= 0 || Errno != Linux.Errno.EAGAIN;
                moved += Math.Max(written, 0);
                Count(Math.Max(written, 0));
                continue;
            }

            if (_sourceEnded)
            {
                if (MayFinish is not null && !MayFinish())
                {
                    return PumpResult.Waiting;
                }

                To.Finish();
                _isOver = true;
                return PumpResult.Ended;
            }

            if (!From.IsReadable)
            {
                Idle();
                return PumpResult.Waiting;
            }

            var read = Take();
            if (read < 0 && !MayTryAgain())
            {
                return PumpResult.SourceLost;
            }

            if (read == 0 && From.IsBroken)
            {
                Errno = Linux.Errno.ECONNRESET; // another reader was told of the error
                return PumpResult.SourceLost;
            }

            From.IsReadable = read >= 0 || Errno != Linux.Errno.EAGAIN;
            _sourceEnded = read == 0;
        }

        return PumpResult.Busy;
    }

    /// <summary>Counts bytes that the target has taken.</summary>
    public void Count(long bytes) => Volatile.Write(ref _bytes, _bytes + bytes);

    /// <summary>Gives back the resources of this direction when the relay ends.</summary>
    public abstract void Release();

    /// <summary>Reads once into the pending bytes, which are empty now; returns what recv(2) returns.</summary>
    protected abstract nint Take();

    /// <summary>Writes pending bytes once; returns what send(2) returns.</summary>
    protected abstract nint Give();

    /// <summary>Called when nothing is pending and nothing can be read.</summary>
    protected virtual void Idle()
    {
    }

    private bool MayTryAgain()
    {
        Errno = Marshal.GetLastPInvokeError();
        return Errno is Linux.Errno.EAGAIN or Linux.Errno.EINTR;
    }
}

/// <summary>How one turn of a <see cref="RelayDirection"/> ended.</summary>
internal enum PumpResult
{
    /// <summary>Nothing more can move before a socket becomes ready.</summary>
    Waiting,

    /// <summary>The turn is used up, and there may be more to move.</summary>
    Busy,

    /// <summary>The sender has finished, and all its bytes and its end have been handed on.</summary>
    Ended,

    /// <summary>The socket that was read from is broken.</summary>
    SourceLost,

    /// <summary>The socket that was written to takes no more.</summary>
    TargetLost,
}
