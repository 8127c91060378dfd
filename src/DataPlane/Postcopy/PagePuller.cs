namespace DataPlane.Postcopy;

/// <summary>
/// The thread that requests every missing page of a guest that does not run here, in ascending order. Requests are faster than the
/// background, because the source's rate limit does not apply to them.
/// </summary>
internal sealed class PagePuller : IDisposable
{
    /// <summary>
    /// The most requests that are open at a time. A source may serve them one by one, and reads no further ones meanwhile.
    /// </summary>
    public const int MaxOpen = 256;

    private readonly GuestMemory _memory;
    private readonly PageLedger _ledger;
    private readonly PostcopyReturnPath _returnPath;
    private readonly Action<Exception> _failed;
    private readonly Thread _thread;

    /// <param name="memory">The memory that is fetched.</param>
    /// <param name="ledger">The record of the pages that are here and of those that are asked for.</param>
    /// <param name="returnPath">Sends the requests.</param>
    /// <param name="failed">Called when no further page can be requested; the thread ends then.</param>
    public PagePuller(GuestMemory memory, PageLedger ledger, PostcopyReturnPath returnPath, Action<Exception> failed)
    {
        _memory = memory;
        _ledger = ledger;
        _returnPath = returnPath;
        _failed = failed;
        _thread = new Thread(Run) { Name = "dp-pull", IsBackground = true };
        _thread.Start();
    }

    public void Dispose()
    {
        _ledger.Stop();
        _thread.Join();
    }

    private void Run()
    {
        try
        {
            RequestAll();
        }
        catch (Exception failure)
        {
            _failed(failure);
        }
    }

    private void RequestAll()
    {
        foreach (var block in _memory.Blocks)
        {
            for (long page = 0;
                _ledger.WaitForRoom(MaxOpen) && _ledger.TryOpenNext(block, ref page);
                page += _ledger.PagesPerHostPage(block))
            {
                _returnPath.Request(block, page, _ledger.HostPageSize(block));
            }
        }
    }
}
