using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// The memory of a guest while pages of it are missing. If the guest runs here, each touch of a missing page becomes a request. If it runs
/// nowhere, every missing page is requested.
/// </summary>
/// <remarks>The members are called by one flow of control. Any thread may use the <see cref="Store"/>.</remarks>
internal sealed class IncompleteMemory : IDisposable
{
    private readonly ReceivedPages _pages;
    private readonly PageLedger _ledger;
    private readonly PostcopyReturnPath _returnPath;
    private readonly UserfaultPageStore? _userfaultStore; // either this store is used or the direct one
    private readonly DirectPageStore? _directStore;
    private FaultReader? _faults;
    private PagePuller? _puller;

    /// <param name="pages">The record of the pages that have arrived so far, and the memory.</param>
    /// <param name="ledger">The record of the pages that are here and of those that are asked for.</param>
    /// <param name="returnPath">Sends the requests.</param>
    /// <param name="isLive">Whether a guest runs on the memory while pages are missing.</param>
    /// <param name="features">Optional features of userfaultfd, which the kernel is asked for if it has them.</param>
    public IncompleteMemory(
        ReceivedPages pages, PageLedger ledger, PostcopyReturnPath returnPath, bool isLive, UserfaultFeatures features)
    {
        _pages = pages;
        _ledger = ledger;
        _returnPath = returnPath;
        _userfaultStore = isLive ? new UserfaultPageStore(pages, ledger, features) : null;
        _directStore = isLive ? null : new DirectPageStore(pages);
    }

    /// <summary>Places pages in the memory.</summary>
    public IPageStore Store => (IPageStore?)_userfaultStore ?? _directStore!;

    /// <summary>
    /// Discards pages, because the source will send them again. If <paramref name="atOnce"/> is true, their memory is given up at once:
    /// there may be very many, and the source may send the commands ahead while the guest still runs there. It must be false while another
    /// channel might still write to them.
    /// </summary>
    public void Discard(RamBlock block, long firstPage, long pageCount, bool atOnce)
    {
        _ledger.Discard(block, firstPage, pageCount);
        if (atOnce)
        {
            _userfaultStore?.Drop(block, firstPage, pageCount);
        }
    }

    /// <summary>
    /// Drops the contents of missing pages if a guest will run on the memory. Threads that touch them wait from now on.
    /// </summary>
    /// <param name="failed">Called when a fault cannot be handled; the reading of faults goes on.</param>
    /// <exception cref="IOException">The kernel does not permit this process to wait for missing pages.</exception>
    public void Arm(Action<Exception> failed)
    {
        if (_userfaultStore is not null)
        {
            _userfaultStore.Arm();
            _faults = new FaultReader(_userfaultStore, _ledger, _returnPath, failed);
        }
    }

    /// <summary>Requests every missing page.</summary>
    /// <param name="failed">Called when no further page can be requested.</param>
    public void Pull(Action<Exception> failed) => _puller = new PagePuller(_pages.Memory, _ledger, _returnPath, failed);

    /// <summary>Turns the memory into ordinary memory again, because it is complete or no guest will ever run on it.</summary>
    public void Release()
    {
        _faults?.Dispose();
        _faults = null;
        _userfaultStore?.Release();
        _directStore?.ClearMissing();
    }

    /// <summary>
    /// Leaves the memory as it is, after <see cref="Dispose"/>. If <paramref name="isGuestHere"/> is true, the missing pages become
    /// unreadable, because the guest must never take them for zeros; else the memory becomes ordinary memory.
    /// </summary>
    public void Leave(bool isGuestHere)
    {
        if (isGuestHere)
        {
            _userfaultStore?.Poison();
        }
        else
        {
            _userfaultStore?.Release();
        }
    }

    /// <summary>Ends the threads that request pages. Nobody reads faults from then on.</summary>
    public void Dispose()
    {
        var teardown = new Teardown();
        teardown.Run(() => _puller?.Dispose());
        teardown.Run(() => _faults?.Dispose());
        teardown.ThrowIfFailed();
    }
}
