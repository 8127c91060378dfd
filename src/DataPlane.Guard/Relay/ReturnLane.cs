using DataPlane.Linux;

namespace DataPlane.Guard.Relay;

/// <summary>
/// The return path of a main channel, on another worker than the pages. A vCPU waits for each request on it, and the thread that moves
/// the background pages is always in the middle of some: requests took 0.8 ms (p50) there while main was busy, and take 0.1 ms here.
/// <para>All decisions stay in one place: the relay's own worker is told how this direction ended, and closes the relay.</para>
/// </summary>
internal sealed class ReturnLane : RelayJob
{
    private readonly ChannelRelay _relay;
    private readonly RelayWorker _home;
    private readonly RelayEnd _qemu;
    private readonly RelayEnd _client;
    private volatile int _result;
    private volatile bool _isLast;

    /// <param name="relay">The main channel, with both ends in place.</param>
    /// <param name="home">The worker of the relay.</param>
    /// <param name="worker">The worker of this direction, which is another one.</param>
    /// <param name="tap">Sees the bytes.</param>
    public ReturnLane(ChannelRelay relay, RelayWorker home, RelayWorker worker, IRelayTap tap)
    {
        _relay = relay;
        _home = home;
        Worker = worker;
        // The lane has ends of its own: what one poll set has reported must not be cleared by the other's thread.
        _qemu = new RelayEnd(relay.Qemu!.Channel);
        _client = new RelayEnd(relay.Client!.Channel);
        Direction = new TappedDirection(_qemu, _client, tap);
    }

    public RelayWorker Worker { get; }

    public RelayDirection Direction { get; }

    /// <summary>How this direction ended; <see cref="PumpResult.Waiting"/> until then. Any thread.</summary>
    public PumpResult Result => (PumpResult)_result;

    public override bool IsOver => Result != PumpResult.Waiting || _relay.Ending != RelayEnding.None;

    public void Start() => Worker.Post(() =>
    {
        try
        {
            Worker.Watch(this, _qemu, EpollCalls.EpollIn | EpollCalls.EpollReadHangUp);
            Worker.Watch(this, _client, EpollCalls.EpollOut);
        }
        catch (ObjectDisposedException)
        {
            // The relay was over before the lane began.
        }
    });

    /// <summary>Ends the lane, and with it the relay, as if QEMU were lost.</summary>
    public override void Fail(int errno)
    {
        _result = (int)PumpResult.SourceLost;
        _home.Post(() => _home.Enqueue(_relay));
    }

    /// <summary>Ends the lane after a loss: what QEMU has sent is delivered first, as far as that is still possible.</summary>
    public void Finish()
    {
        _isLast = true;
        Worker.Post(() => Worker.Enqueue(this));
    }

    public override bool Run()
    {
        if (IsOver)
        {
            return false;
        }

        var isLast = _isLast;
        if (isLast)
        {
            _qemu.IsReadable = true; // the event of its last bytes may still be on its way
        }

        try
        {
            var result = Direction.Pump();
            if (result == PumpResult.Waiting && isLast)
            {
                result = PumpResult.SourceLost;
            }

            if (result is not (PumpResult.Waiting or PumpResult.Busy))
            {
                _result = (int)result;
                _home.Post(() => _home.Enqueue(_relay));
            }

            return result == PumpResult.Busy;
        }
        catch (ObjectDisposedException)
        {
            return false; // the relay was ended meanwhile, which closes its sockets, or even its worker is gone
        }
    }
}
