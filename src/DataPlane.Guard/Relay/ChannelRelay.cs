using DataPlane.Transport;
using Microsoft.Extensions.ObjectPool;

namespace DataPlane.Guard.Relay;

/// <summary>
/// The relay of one channel between client and QEMU. It may begin with one end only: a client that waits for the other channels of its
/// migration, or a preempt channel that has no client yet. Then it only watches for the loss of that end.
/// <code>
/// client FIN  -> bytes under way are delivered, QEMU gets FIN          QEMU FIN  -> the same the other way
/// client lost -> QEMU's socket is closed at once                       QEMU lost -> what it sent last is delivered, the client is reset
/// </code>
/// In postcopy a <see cref="LossNotice"/> may delay what QEMU learns of its client. The worker's thread does everything, except on the
/// return path of main (<see cref="Relay.ReturnLane"/>). Any thread may read <see cref="ClientBytes"/>, <see cref="QemuBytes"/>,
/// <see cref="Ending"/> and <see cref="State"/>.
/// </summary>
internal sealed class ChannelRelay(ChannelKind kind, int id, ChannelId channel) : RelayJob
{
    private RelayDirection? _forward;
    private RelayDirection? _backward;
    private volatile int _ending;
    private volatile int _state;
    private volatile bool _isClaimed;
    private volatile bool _isLosing;
    private long _clientBytes;
    private (RelayEnding Ending, int Errno) _loss;
    private Func<bool>? _mayTellOfLoss;

    public ChannelKind Kind { get; } = kind;

    public int Id { get; } = id;

    public ChannelId ChannelId { get; } = channel;

    public string Name { get; } = channel.ToString();

    public RelayEnd? Client { get; private set; }

    public RelayEnd? Qemu { get; private set; }

    /// <summary>The client's address; null while there is no client.</summary>
    public string? Peer => Client?.Channel.Peer;

    /// <summary>The client's address without its port; null while there is no client.</summary>
    public PeerGroup? PeerGroup => Client?.Channel.PeerGroup;

    public RelayEnding Ending => (RelayEnding)_ending;

    public int Errno { get; private set; }

    public GuardChannelState State => (GuardChannelState)_state;

    /// <summary>Bytes from the client that QEMU's socket has taken.</summary>
    public long ClientBytes => Volatile.Read(ref _clientBytes) + (_forward?.Bytes ?? 0);

    /// <summary>Bytes from QEMU that the client's socket has taken.</summary>
    public long QemuBytes => _backward?.Bytes ?? 0;

    /// <summary>The direction from QEMU where another worker runs it; null otherwise.</summary>
    public ReturnLane? ReturnLane { get; private set; }

    public override bool IsOver => Ending != RelayEnding.None;

    /// <summary>Whether the client has ended or is lost, and QEMU has not been told yet. Any thread.</summary>
    public bool IsLosing => _isLosing && !IsOver;

    /// <summary>Whether QEMU has been sent a byte in the place of the client, which cannot join any more.</summary>
    public bool IsSpent { get; private set; }

    /// <summary>Notes that the other end is under way: whatever the client sent before it closed is delivered. Any thread.</summary>
    public void Claim() => _isClaimed = true;

    /// <summary>Counts the first bytes that were handed to QEMU before the relay began.</summary>
    public void CountFirst(long bytes) => Volatile.Write(ref _clientBytes, bytes);

    public void SetClient(Channel channel) => Client = new RelayEnd(channel);

    public void SetQemu(Channel channel) => Qemu = new RelayEnd(channel);

    /// <summary>
    /// Has QEMU told of the client's end or loss only when <paramref name="loss"/> permits it. Call it before <see cref="Begin"/>.
    /// </summary>
    public void Hold(LossNotice loss, Action again) => _mayTellOfLoss = () =>
    {
        // Where QEMU has closed the channel itself, there is nothing left to tell it. This is set before anything is prepared: who sees
        // what the preparation does must see why.
        _isLosing = _backward is not { IsOver: true } && !Qemu!.HasHungUp;
        _isLosing = _isLosing && !loss.MayBeGiven(again);
        return !_isLosing;
    };

    /// <summary>Begins the relay with both ends in place. The bytes of <paramref name="first"/> go to QEMU before all others.</summary>
    public void Begin(ObjectPool<RelayPipe> pipes, ReadOnlyMemory<byte> first, ReturnLane? lane, IStreamTail? tail)
    {
        _forward = new SplicedDirection(Client!, Qemu!, pipes, first, tail) { MayFinish = _mayTellOfLoss };
        _backward = lane?.Direction ?? new SplicedDirection(Qemu!, Client!, pipes, default);
        ReturnLane = lane;
        _state = (int)GuardChannelState.Open;
        lane?.Start();
    }

    public override void Fail(int errno) => End(RelayEnding.Aborted, errno);

    /// <summary>Runs one turn in each direction; returns true when there is more to do at once.</summary>
    public override bool Run()
    {
        if (IsOver)
        {
            return false;
        }

        if (_forward is null || _backward is null)
        {
            WatchLoneEnd();
            return false;
        }

        if (_loss.Ending != RelayEnding.None)
        {
            Lose(_loss.Ending, _loss.Errno);
            return false;
        }

        var forward = _forward.Pump();
        var backward = ReturnLane?.Result ?? _backward.Pump();
        if (forward == PumpResult.SourceLost || backward == PumpResult.TargetLost)
        {
            Lose(RelayEnding.ClientLost, forward == PumpResult.SourceLost ? _forward.Errno : _backward.Errno);
        }
        else if (forward == PumpResult.TargetLost || backward == PumpResult.SourceLost)
        {
            Lose(RelayEnding.QemuLost, forward == PumpResult.TargetLost ? _forward.Errno : _backward.Errno);
        }
        else if (_forward.IsOver && _backward.IsOver)
        {
            End(RelayEnding.Closed, 0);
        }
        else if (_backward.IsOver && Qemu!.HasLostBytes)
        {
            End(RelayEnding.QemuLost, Linux.Errno.ECONNRESET);
        }
        else if (_forward.IsOver || _backward.IsOver)
        {
            _state = (int)GuardChannelState.HalfClosed;
        }

        return !IsOver && (forward == PumpResult.Busy || backward == PumpResult.Busy);
    }

    /// <summary>
    /// Whether QEMU has read a byte of this channel. If nothing was sent and there is no client, QEMU is sent the first byte of a record,
    /// as any lost link may leave behind: QEMU throws it away with the link.
    /// </summary>
    public bool IsReadByQemu()
    {
        if (IsOver || Qemu is null)
        {
            return false;
        }

        if (Client is null && !IsSpent)
        {
            IsSpent = SocketBytes.Send(Qemu.Channel.Handle, [0]) > 0;
        }

        return SocketBytes.UnreadAtMost(Qemu.Channel.Handle) < (IsSpent ? 1 : 0) + ClientBytes;
    }

    /// <summary>Ends the relay and closes both sockets. The client is reset unless both sides have finished in order.</summary>
    public void End(RelayEnding ending, int errno)
    {
        if (IsOver)
        {
            return;
        }

        Errno = errno;
        _ending = (int)ending;
        _state = (int)GuardChannelState.Closed;
        _forward?.Release();
        _backward?.Release();
        if (ending != RelayEnding.Closed)
        {
            Client?.Channel.Abort();
        }

        _ = CloseAsync(Client?.Channel);
        // QEMU's socket is never reset: QEMU would lose what it has not read yet, and a plain end tells it as much.
        _ = CloseAsync(Qemu?.Channel);
    }

    private static async Task CloseAsync(Channel? channel)
    {
        if (channel is not null)
        {
            await channel.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Ends the relay with a loss. QEMU may have sent the reason before it went: that is delivered first, and the guard reads it even when
    /// the client is lost.
    /// </summary>
    private void Lose(RelayEnding ending, int errno)
    {
        if (ReturnLane is { Result: PumpResult.Waiting } lane)
        {
            if (_loss.Ending == RelayEnding.None)
            {
                lane.Finish();
            }

            _loss = (ending, errno); // kept until the lane reports that it has finished
            return;
        }

        if (ending == RelayEnding.ClientLost && _mayTellOfLoss is not null && !_mayTellOfLoss())
        {
            _loss = (ending, errno);
            return;
        }

        Qemu!.IsReadable = true; // the event of its last bytes may still be on its way
        while (ReturnLane is null && _backward!.Pump() == PumpResult.Busy)
        {
            // It goes on until nothing more can be read, or the client takes no more.
        }

        End(ending, errno);
    }

    /// <summary>
    /// Watches the only end. What a client sends stays in its socket, and only the end of the connection counts. An end after bytes may be
    /// no loss: a source without a return path closes as soon as it has sent everything, and counts its guest as moved.
    /// </summary>
    private void WatchLoneEnd()
    {
        if (Client is { HasHungUp: true, HasUnread: true })
        {
            return;
        }

        if (Client is { HasHungUp: true } && !_isClaimed)
        {
            End(RelayEnding.ClientLost, 0);
        }
        else if (Qemu is { HasHungUp: true })
        {
            End(RelayEnding.QemuLost, 0);
        }
    }
}

/// <summary>Why a relay is over.</summary>
internal enum RelayEnding
{
    /// <summary>The relay is not over.</summary>
    None,

    /// <summary>Both sides finished in order.</summary>
    Closed,

    /// <summary>The client vanished, or broke the connection.</summary>
    ClientLost,

    /// <summary>QEMU closed with bytes of the client unread, or died.</summary>
    QemuLost,

    /// <summary>The guard ended the relay.</summary>
    Aborted,
}
