using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>The thread that hears of every touch of a missing page, and asks the source for the page unless somebody has.</summary>
internal sealed class FaultReader : IDisposable
{
    private const int FaultsPerRead = 64;

    private readonly LiveMemory _memory;
    private readonly PageLedger _ledger;
    private readonly PostcopyReturnPath _returnPath;
    private readonly Action<Exception> _failed;
    private readonly EventFd _stop = new();
    private readonly Thread _thread;
    private volatile bool _stopped;
    private long _faults;

    /// <param name="memory">The registered memory.</param>
    /// <param name="ledger">What is here and what is asked for.</param>
    /// <param name="returnPath">Takes the requests.</param>
    /// <param name="failed">Told when a fault cannot be handled; reading goes on.</param>
    public FaultReader(LiveMemory memory, PageLedger ledger, PostcopyReturnPath returnPath, Action<Exception> failed)
    {
        _memory = memory;
        _ledger = ledger;
        _returnPath = returnPath;
        _failed = failed;
        _thread = new Thread(Run) { Name = "dp-faults", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Faults so far: every thread that had to wait counts.</summary>
    public long Faults => Volatile.Read(ref _faults);

    /// <summary>Ends the thread. Faults are read by nobody then: the memory is released first or next.</summary>
    public void Dispose()
    {
        _stopped = true;
        _stop.Signal();
        _thread.Join();
        _stop.Dispose();
    }

    private void Run()
    {
        var faults = _memory.Faults;
        Span<UserfaultMessage> messages = stackalloc UserfaultMessage[FaultsPerRead];
        while (!_stopped)
        {
            try
            {
                if (faults.WaitForFaults(_stop))
                {
                    Handle(messages[..faults.ReadFaults(messages)]);
                }
            }
            catch (Exception failure)
            {
                // Whoever waits for this page goes on waiting; the others must not.
                _failed(failure);
            }
        }
    }

    private void Handle(ReadOnlySpan<UserfaultMessage> messages)
    {
        foreach (ref readonly var message in messages)
        {
            if (message.Event == UserfaultMessage.PageFault && _memory.TryFind(message.Address, out var block, out var page))
            {
                Volatile.Write(ref _faults, _faults + 1);
                switch (_ledger.Need(block, page))
                {
                    case PageNeed.Received:
                        _memory.PlaceReceived(block, page);
                        break;
                    case PageNeed.Ask:
                        _returnPath.Request(block, _ledger.HostPageOf(block, page), _ledger.HostPageSize(block));
                        break;
                }
            }
        }
    }
}
