using System.Runtime.InteropServices;

namespace DataPlane.Guard.Relay;

/// <summary>
/// Moves bytes one way, as far as both sockets go along without waiting. Nothing is read that the other side has no room for: the sender
/// feels the receiver's pace. Used by one thread only, except <see cref="Bytes"/> and <see cref="IsOver"/>.
/// </summary>
internal abstract class RelayDirection(RelayEnd from, RelayEnd to)
{
    /// <summary>Bytes per turn, so that a channel that never pauses does not keep its neighbours waiting.</summary>
    internal const long BytesPerTurn = 4 << 20;

    private long _bytes;
    private bool _sourceEnded;
    private volatile bool _isOver;

    /// <summary>Bytes that the target has taken. Any thread.</summary>
    internal long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Everything is over in this direction, in order. Any thread.</summary>
    internal bool IsOver => _isOver;

    /// <summary>The system's error number of a loss.</summary>
    internal int Errno { get; private set; }

    /// <summary>Whether the target may hear of the source's end now; null says yes.</summary>
    internal Func<bool>? MayFinish { get; init; }

    protected RelayEnd From { get; } = from;

    protected RelayEnd To { get; } = to;

    protected abstract bool HasPending { get; }

    internal PumpResult Pump()
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
                Errno = Linux.Errno.ECONNRESET; // somebody else was told of it
                return PumpResult.SourceLost;
            }

            From.IsReadable = read >= 0 || Errno != Linux.Errno.EAGAIN;
            _sourceEnded = read == 0;
        }

        return PumpResult.Busy;
    }

    /// <summary>Counts bytes that were handed on before this direction began.</summary>
    internal void Count(long bytes) => Volatile.Write(ref _bytes, _bytes + bytes);

    /// <summary>Gives back what it holds, when the relay ends.</summary>
    internal abstract void Release();

    /// <summary>Reads once into the pending bytes, of which there are none now; as recv(2).</summary>
    protected abstract nint Take();

    /// <summary>Writes pending bytes once; as send(2).</summary>
    protected abstract nint Give();

    /// <summary>Nothing is pending and nothing to be read.</summary>
    protected virtual void Idle()
    {
    }

    private bool MayTryAgain()
    {
        Errno = Marshal.GetLastPInvokeError();
        return Errno is Linux.Errno.EAGAIN or Linux.Errno.EINTR;
    }
}
