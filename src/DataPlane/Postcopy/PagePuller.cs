using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// The thread that asks for every missing page of a guest that does not run here, in ascending order: requests are not slowed down by the
/// source's limits.
/// </summary>
internal sealed class PagePuller : IDisposable
{
    /// <summary>Most requests under way. A source may serve them one by one while it reads no further ones.</summary>
    public const int MaxOpen = 256;

    private readonly GuestMemory _memory;
    private readonly PageLedger _ledger;
    private readonly PostcopyReturnPath _returnPath;
    private readonly Thread _thread;

    public PagePuller(GuestMemory memory, PageLedger ledger, PostcopyReturnPath returnPath)
    {
        _memory = memory;
        _ledger = ledger;
        _returnPath = returnPath;
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
