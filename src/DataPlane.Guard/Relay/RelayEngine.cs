using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Relay;

/// <summary>
/// The relays of one migration, on two or more threads, which start when they are needed: a VM that waits costs none. Any thread may call;
/// the work happens on the workers. A channel that is given to a method belongs to the engine from then on, even when the method throws
/// because the system has no thread or descriptor for it.
/// </summary>
internal sealed class RelayEngine(int workers, Action<ChannelRelay> ended, Action<Exception> failed) : IDisposable
{
    /// <summary>
    /// The worker of urgent pages and their requests; multifd's share of it is idle while a guest waits for pages. It comes after main's
    /// worker, which is disposed of first and still posts the end of main to this one.
    /// </summary>
    private const int UrgentWorker = 1;

    private readonly Lock _gate = new();
    private readonly RelayWorker?[] _workers = new RelayWorker?[workers];
    private bool _disposed;

    /// <summary>The default number of threads: enough to keep pace with QEMU and the source, few enough to leave them the cores.</summary>
    public static int DefaultWorkers => Math.Clamp(Environment.ProcessorCount, 2, 4);

    /// <summary>The number of relays that have not ended.</summary>
    public int Relays => _workers.Sum(w => w?.Relays ?? 0);

    /// <summary>Creates a relay that watches a client, which must wait before it is joined.</summary>
    public ChannelRelay Hold(ChannelKind kind, int id, Channel client)
    {
        var relay = new ChannelRelay(kind, id, client.Id);
        var worker = WorkerFor(relay, client);
        relay.SetClient(client);
        worker.Adopt();
        worker.Post(() => worker.Watch(relay, relay.Client!));
        return relay;
    }

    /// <summary>Creates a relay that watches a channel to QEMU, which has no client yet.</summary>
    public ChannelRelay Reserve(ChannelKind kind, int id, Channel qemu)
    {
        var relay = new ChannelRelay(kind, id, qemu.Id);
        var worker = WorkerFor(relay, qemu);
        relay.SetQemu(qemu);
        worker.Adopt();
        worker.Post(() => worker.Watch(relay, relay.Qemu!));
        return relay;
    }

    /// <summary>
    /// Joins a held client with its connection to QEMU, which has had the client's first bytes already and gets <paramref name="next"/>
    /// after them.
    /// </summary>
    public void JoinQemu(
        ChannelRelay relay,
        Channel qemu,
        long firstBytes,
        IRelayTap? tap,
        IStreamTail? tail = null,
        LossNotice? loss = null,
        ReadOnlyMemory<byte> next = default) =>
        Join(relay, qemu, () =>
        {
            relay.CountFirst(firstBytes);
            relay.SetQemu(qemu);
            return relay.Qemu!;
        }, next, tap, tail, loss);

    /// <summary>Joins a reserved channel with its client, whose first bytes have been read from it already.</summary>
    public void JoinClient(ChannelRelay relay, Channel client, ReadOnlyMemory<byte> first) =>
        Join(relay, client, () =>
        {
            relay.SetClient(client);
            return relay.Client!;
        }, first, null, null, null);

    /// <summary>
    /// Whether QEMU has read a byte of this channel, whose link is being lost with <paramref name="main"/>; false once main is over. A
    /// channel without a client cannot be joined after this. Only a Unix socket shows what has been read.
    /// </summary>
    public Task<bool> IsReadAsync(ChannelRelay relay, ChannelRelay main)
    {
        var read = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        WorkerFor(relay).Post(() => read.SetResult(!main.IsOver && relay.IsReadByQemu()));
        return read.Task;
    }

    /// <summary>Ends a relay: the client is reset, and QEMU sees a plain end.</summary>
    public void Abort(ChannelRelay relay)
    {
        var worker = WorkerFor(relay);
        worker.Post(() =>
        {
            if (relay.IsOver)
            {
                return;
            }

            relay.End(RelayEnding.Aborted, 0);
            worker.Forget(relay);
        });
    }

    public void Dispose()
    {
        RelayWorker?[] running;
        lock (_gate)
        {
            _disposed = true;
            running = [.. _workers];
        }

        foreach (var worker in running)
        {
            worker?.Dispose();
        }
    }

    private void Join(
        ChannelRelay relay,
        Channel other,
        Func<RelayEnd> set,
        ReadOnlyMemory<byte> first,
        IRelayTap? tap,
        IStreamTail? tail,
        LossNotice? loss)
    {
        var worker = WorkerFor(relay, other);
        var urgent = OrClose(() => Worker(UrgentWorker), other);
        worker.Post(() =>
        {
            if (relay.IsOver || relay.IsSpent)
            {
                other.Abort(); // the relay ended, or lost its link, while this end was on its way
                return;
            }

            var end = set();
            if (loss is not null)
            {
                relay.Hold(loss, () => worker.Post(() => worker.Enqueue(relay)));
            }

            if (tap is null)
            {
                relay.Begin(worker.Pipes, first, null, tail);
                worker.Watch(relay, end);
            }
            else
            {
                relay.Begin(worker.Pipes, first, new ReturnLane(relay, worker, urgent, tap), tail);
                // What QEMU sends there concerns the lane's thread, not this one.
                worker.Watch(relay, end, EpollCalls.EpollOut);
            }
        });
    }

    /// <summary>
    /// Returns the worker of a relay. Urgent pages and their requests stay apart from main, whose background pages would delay them;
    /// multifd channels are spread evenly.
    /// </summary>
    private RelayWorker WorkerFor(ChannelRelay relay) => Worker(relay.Kind switch
    {
        ChannelKind.Main => 0,
        ChannelKind.Preempt => UrgentWorker,
        _ => relay.Id % _workers.Length,
    });

    /// <summary>
    /// Returns the worker of a relay for a channel that was given to the engine, and closes the channel when there can be no worker.
    /// </summary>
    private RelayWorker WorkerFor(ChannelRelay relay, Channel given) => OrClose(() => WorkerFor(relay), given);

    private static RelayWorker OrClose(Func<RelayWorker> find, Channel given)
    {
        try
        {
            return find();
        }
        catch
        {
            _ = given.DisposeAsync().AsTask(); // a plain end, as QEMU gets it whenever a relay is over
            throw;
        }
    }

    private RelayWorker Worker(int index)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _workers[index] ??= new RelayWorker($"dp-relay-{index}", ended, failed);
        }
    }
}
