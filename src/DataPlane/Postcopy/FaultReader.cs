using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>
/// The thread that reads every fault on a missing page, and requests the page from the source unless it has been requested before.
/// </summary>
internal sealed class FaultReader : IDisposable
{
    private const int FaultsPerRead = 64;

    private readonly UserfaultPageStore _memory;
    private readonly PageLedger _ledger;
    private readonly PostcopyReturnPath _returnPath;
    private readonly Action<Exception> _failed;
    private readonly EventFd _stop = new();
    private readonly Thread _thread;
    private volatile bool _stopped;
    private long _faults;

    /// <param name="memory">The memory, which is registered with userfaultfd.</param>
    /// <param name="ledger">The record of the pages that are here and of those that are asked for.</param>
    /// <param name="returnPath">Sends the requests.</param>
    /// <param name="failed">Called when a fault cannot be handled; reading goes on.</param>
    public FaultReader(UserfaultPageStore memory, PageLedger ledger, PostcopyReturnPath returnPath, Action<Exception> failed)
    {
        _memory = memory;
        _ledger = ledger;
        _returnPath = returnPath;
        _failed = failed;
        _thread = new Thread(Run) { Name = "dp-faults", IsBackground = true };
        _thread.Start();
    }

    /// <summary>The number of faults so far. Every thread that had to wait counts. Any thread may read it.</summary>
    public long Faults => Volatile.Read(ref _faults);

    /// <summary>Ends the thread. Nobody reads faults from then on, so the memory must be released right before or right after.</summary>
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
                // The thread that waits for this page goes on waiting, but other faults must still be handled.
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
