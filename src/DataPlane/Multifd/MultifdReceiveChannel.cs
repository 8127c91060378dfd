using DataPlane.Transport;

namespace DataPlane.Multifd;

/// <summary>
/// One multifd channel of a destination: a named thread that waits for its connection and receives packets from it until the channel ends.
/// </summary>
internal sealed class MultifdReceiveChannel
{
    private readonly int _id;
    private readonly MultifdReceiver _owner;
    private readonly BlockPool _pool;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private readonly object _gate = new();
    private readonly MultifdPacketReceiver _packets;
    private Channel? _channel; // set once, under _gate
    private bool _aborted; // guarded by _gate

    public MultifdReceiveChannel(int id, MultifdReceiver owner, BlockPool pool)
    {
        _id = id;
        _owner = owner;
        _pool = pool;
        _packets = new MultifdPacketReceiver(id, owner);
        _thread = new Thread(Run) { Name = $"dp-recv-{id}", IsBackground = true };
    }

    /// <summary>Pages that came with their bytes. Any thread may read it.</summary>
    public long NormalPages => _packets.NormalPages;

    /// <summary>Pages that came as zero pages. Any thread may read it.</summary>
    public long ZeroPages => _packets.ZeroPages;

    /// <summary>Completes when the thread no longer uses the channel.</summary>
    public Task Stopped => _stopped.Task;

    public void Start() => _thread.Start();

    /// <summary>
    /// Closes guest memory to this channel. Returns false if the channel is placing a packet; see <see cref="MemoryAccess.TryClose"/>.
    /// </summary>
    public bool TryCloseMemory() => _packets.TryCloseMemory();

    /// <summary>Gives the thread its connection, whose init packet has been read.</summary>
    public void Attach(Channel channel)
    {
        lock (_gate)
        {
            _channel = channel;
            Monitor.Pulse(_gate);
            if (_aborted)
            {
                channel.Abort();
            }
        }
    }

    /// <summary>Resets the connection, if there is one, and ends the thread.</summary>
    public void Abort()
    {
        lock (_gate)
        {
            _aborted = true;
            Monitor.Pulse(_gate);
            _channel?.Abort();
        }
    }

    /// <summary>Closes the connection, reading it to its end for at most <paramref name="drain"/>, and waits for the thread.</summary>
    public async Task FinishAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        if (_channel is null)
        {
            Abort();
        }
        else
        {
            // A thread that waits for a packet after the last sync returns when the peer closes, or when the drain ends.
            await _channel.CloseAsync(drain, cancellationToken).ConfigureAwait(false);
        }

        await Stopped.ConfigureAwait(false);
    }

    private void Run()
    {
        try
        {
            using var header = _pool.RentBlock(_thread.Name!);
            if (WaitForChannel() is { } channel)
            {
                while (_packets.ReceivePacket(channel, header))
                {
                }
            }
        }
        catch (ChannelException failure)
        {
            _owner.ReportFailure(failure);
        }
        catch (Exception surprise)
        {
            _owner.ReportFailure(new ChannelException(FailureReason.LocalFailure, ChannelId.Multifd(_id), surprise.Message, surprise));
        }
        finally
        {
            _packets.Release();
            _stopped.SetResult();
        }
    }

    private Channel? WaitForChannel()
    {
        lock (_gate)
        {
            while (_channel is null && !_aborted)
            {
                Monitor.Wait(_gate);
            }

            return _channel;
        }
    }
}
